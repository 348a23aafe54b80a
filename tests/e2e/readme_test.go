package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fence is a fenced block of README.md.
type fence struct {
	language string
	lines    []string
}

// fences reads the blocks. Those of sh are commands, which TestReadme runs in order, in one shell; those of console are transcripts, in
// which a line after "$ " is a command and all else is what it printed.
func fences(text string) []fence {
	var all []fence
	var open *fence
	for line := range strings.SplitSeq(text, "\n") {
		language, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && open == nil:
			open = &fence{language: strings.TrimSpace(language)}
		case isFence:
			all = append(all, *open)
			open = nil
		case open != nil:
			open.lines = append(open.lines, line)
		}
	}
	return all
}

var serves = regexp.MustCompile(`^(bin/almanac|make) run\b`)

// script joins the commands. A run that would serve until Ctrl-C runs in the background, and the rest goes on once it serves; make test,
// which would run this test's own run again, is only asked for its commands.
func script(all []fence) string {
	var b strings.Builder
	b.WriteString("set -eu\nend() { kill -TERM $(jobs -p) 2>/dev/null || :; wait; }\ntrap end EXIT\n")
	for _, f := range all {
		if f.language != "sh" {
			continue
		}
		for _, line := range f.lines {
			switch {
			case strings.HasPrefix(line, "git clone") || strings.HasPrefix(line, "cd almanac") || strings.Contains(line, "apt-get"):
				continue
			case strings.HasPrefix(line, "make test") || strings.HasPrefix(line, "make check") || strings.HasPrefix(line, "make bench"):
				line = strings.Replace(line, "make", "make -n", 1)
			case serves.MatchString(line) && !strings.Contains(line, "--no-serve"):
				line += " > served.txt &\nuntil grep -q 'Serving on' served.txt; do sleep 0.1; done"
			}
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// TestReadme runs the README's commands in a copy of the repository, as a new user types them.
func TestReadme(t *testing.T) {
	binary := command(t)
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	all := fences(string(text))
	dir := copyOfRepository(t, binary)
	name := filepath.Join(dir, "readme.sh")
	if err := os.WriteFile(name, []byte(script(all)), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-x", name)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("the commands of README.md: %v\n%s", err, out.String())
	}
	transcripts(t, dir, all)
}

// transcripts checks that the commands that a transcript shows are there.
func transcripts(t *testing.T, dir string, all []fence) {
	t.Helper()
	for _, f := range all {
		for _, line := range f.lines {
			typed, ok := strings.CutPrefix(line, "$ ")
			if f.language != "console" || !ok {
				continue
			}
			words := strings.Fields(typed)
			switch words[0] {
			case "make":
				words = append([]string{"make", "-n"}, words[1:]...)
			case "bin/almanac":
				words = append(words[:min(len(words), 2)], "--help")
			default:
				words = []string{"which", words[0]}
			}
			cmd := exec.CommandContext(patient(t), words[0], words[1:]...)
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("the transcript shows %q, which is not there: %v: %s", typed, err, out)
			}
		}
	}
}

// copyOfRepository copies what the commands need, and the command as make would have built it.
func copyOfRepository(t *testing.T, binary string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"Makefile", "go.mod", "go.sum", "LICENSE", "README.md", "docs", "events", "functions", "spark-jobs", "tests"} {
		from, to := filepath.Join(root, name), filepath.Join(dir, name)
		info, err := os.Stat(from)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			err = os.CopyFS(to, os.DirFS(from))
		} else {
			err = copyFile(from, to, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := copyFile(binary, filepath.Join(dir, "bin", "almanac"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func copyFile(from, to string, mode os.FileMode) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, mode)
}
