package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/command/commandtest"
)

var almanac = commandtest.Almanac(commands)

func TestWrongUseHasItsOwnCodeAndNamesTheHelp(t *testing.T) {
	for _, args := range [][]string{
		{"run", "--speed", "9"}, {"run", "flights"}, {"releases", "show"}, {"quarantine", "show", "flights"}, {"deadletters", "resend"}, {"status", "--windows=maybe"},
	} {
		if _, code, err := almanac.Call(t, args...); code != command.Usage || !strings.Contains(err.Error(), "--help") {
			t.Errorf("almanac %s: exit %d, %v; want %d and the way to the help", strings.Join(args, " "), code, err, command.Usage)
		}
	}
}

func TestCommandsWithoutAFolderSayHowToBegin(t *testing.T) {
	data, datasets := filepath.Join(t.TempDir(), "none"), filepath.Join("..", "..", "spark-jobs")
	for _, args := range [][]string{{"status"}, {"plan"}, {"releases", "list"}, {"deadletters", "list"}, {"sweep"}} {
		_, code, err := almanac.Call(t, append(args, "--data", data, "--datasets", datasets)...)
		if code != 1 || !strings.Contains(err.Error(), "almanac run --data "+data) {
			t.Errorf("almanac %s: exit %d, %v; want 1 and the command that makes the folder", args, code, err)
		}
	}
	if _, err := os.Stat(data); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("looking has made the folder: %v", err)
	}
}

func TestEveryCommandHasAnExampleThatItTakes(t *testing.T) {
	root := commandtest.Options(io.Discard).Root(commands...)
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
