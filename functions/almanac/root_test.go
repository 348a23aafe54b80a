package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/almanac-data/almanac/functions/internal/calendar"
)

// call runs the command as a shell would, and returns what it prints and its exit code.
func call(t *testing.T, args ...string) (out string, code int, err error) {
	t.Helper()
	var printed bytes.Buffer
	root := newRoot(&printed, &printed)
	root.SetArgs(args)
	err = root.ExecuteContext(t.Context())
	return printed.String(), exitCode(err), err
}

func TestWrongUseHasItsOwnCodeAndNamesTheHelp(t *testing.T) {
	for _, args := range [][]string{
		{"run", "--speed", "9"}, {"run", "flights"}, {"releases", "show"}, {"quarantine", "show", "flights"}, {"deadletters", "resend"}, {"status", "--windows=maybe"},
	} {
		if _, code, err := call(t, args...); code != codeUsage || !strings.Contains(err.Error(), "--help") {
			t.Errorf("almanac %s: exit %d, %v; want %d and the way to the help", strings.Join(args, " "), code, err, codeUsage)
		}
	}
}

func TestCommandsWithoutAFolderSayHowToBegin(t *testing.T) {
	data, datasets := filepath.Join(t.TempDir(), "none"), filepath.Join("..", "..", "spark-jobs")
	for _, args := range [][]string{{"status"}, {"plan"}, {"releases", "list"}, {"deadletters", "list"}, {"sweep"}} {
		_, code, err := call(t, append(args, "--data", data, "--datasets", datasets)...)
		if code != 1 || !strings.Contains(err.Error(), "almanac run --data "+data) {
			t.Errorf("almanac %s: exit %d, %v; want 1 and the command that makes the folder", args, code, err)
		}
	}
	if _, err := os.Stat(data); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("looking has made the folder: %v", err)
	}
}

func TestEveryCommandHasAnExampleThatItTakes(t *testing.T) {
	root := newRoot(new(bytes.Buffer), new(bytes.Buffer))
	for _, c := range root.Commands() {
		if c.Name() == "help" || c.Name() == "completion" {
			continue
		}
		for _, sub := range append(c.Commands(), c) {
			if sub.HasSubCommands() {
				continue
			}
			if sub.Example == "" {
				t.Errorf("%s has no example", sub.CommandPath())
			}
			for line := range strings.Lines(sub.Example) {
				line, _, _ = strings.Cut(line, " <") // what the shell does
				words := words(line)
				if words[0] != "almanac" {
					continue // a shell's
				}
				found, rest, err := root.Find(words[1:])
				if err != nil || found != sub || found.ParseFlags(rest) != nil || found.ValidateArgs(found.Flags().Args()) != nil {
					t.Errorf("example %q of %s does not fit it: %v", strings.TrimSpace(line), sub.CommandPath(), err)
				}
			}
		}
	}
}

func TestExitCodes(t *testing.T) {
	for want, err := range map[int]error{
		0: nil, 1: errors.New("broken"), 2: &codedError{codeUsage, errors.New("wrong")}, 3: fmt.Errorf("run: %w", &codedError{code: codeAttention}),
	} {
		if got := exitCode(err); got != want {
			t.Errorf("exitCode(%v) = %d, want %d", err, got, want)
		}
	}
}

func TestWhenAPersonIsNeeded(t *testing.T) {
	for phase, want := range map[calendar.Phase]bool{calendar.Stored: false, calendar.Blocked: false, calendar.Stopped: true, calendar.Waiting: true} {
		if got := attention([]surveyed{days(calendar.Stored, phase)}); got != want {
			t.Errorf("attention(%s) = %t, want %t", phase, got, want)
		}
		if busy([]surveyed{days(phase)}) {
			t.Errorf("busy(%s): there is nothing to wait for", phase)
		}
	}
	if !busy([]surveyed{days(calendar.Stored, calendar.Storing)}) {
		t.Error("a window is stored, and nothing is said to go on")
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567", -999: "-999"} {
		if got := thousands(n); got != want {
			t.Errorf("thousands(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestFreeSpaceOfAFolderThatIsNotThereYet(t *testing.T) {
	dir := t.TempDir()
	free, at, err := freeSpace(filepath.Join(dir, "a", "b"))
	if err != nil || at != dir || free == 0 {
		t.Errorf("freeSpace = %d at %s, %v, want that of %s", free, at, err, dir)
	}
}

// words parts a line as a shell does; single quotes are all it knows.
func words(line string) []string {
	var all []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			all = append(all, part)
		} else {
			all = append(all, strings.Fields(part)...)
		}
	}
	return all
}
