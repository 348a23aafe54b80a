// Package python runs programs of Python in environments of pinned packages.
package python

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// patience is how long it may take to make an environment.
const patience = 10 * time.Minute

// Venv makes .cache/<name> of the repository with the packages that files of requirements pin, once; the test is skipped where there is no Python.
func Venv(t *testing.T, root, name string, requirements ...string) string {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is missing: install it (apt-get install python3-venv)")
	}
	dir, err := filepath.Abs(filepath.Join(root, ".cache", name))
	if err != nil {
		t.Fatal(err)
	}
	var wanted []byte
	for _, file := range requirements {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		wanted = append(wanted, text...)
	}
	version := Output(t, time.Minute, python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
	hashes := runtime.GOOS == "linux" && runtime.GOARCH == "amd64" && strings.TrimSpace(string(version)) == "3.11"
	digest := sha256.Sum256(append(wanted, version...))
	mark := filepath.Join(dir, "made-of-"+hex.EncodeToString(digest[:8]))
	if _, err := os.Stat(mark); err == nil {
		return dir
	}
	joined := filepath.Join(t.TempDir(), "requirements.txt")
	install := []string{"-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r", joined}
	if hashes {
		install = append(install, "--require-hashes", "--only-binary", ":all:")
	} else { // other wheels have other digests
		wanted = regexp.MustCompile(` --hash=\S+`).ReplaceAll(wanted, nil)
	}
	if err := os.WriteFile(joined, wanted, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	Output(t, patience, python, "-m", "venv", dir)
	Output(t, patience, filepath.Join(dir, "bin", "python"), install...)
	if err := os.WriteFile(mark, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Output runs another program, and gives what it prints.
func Output(t *testing.T, within time.Duration, program string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	out, err := cmd.Output()
	if err != nil {
		text := string(out)
		if exit, ok := err.(*exec.ExitError); ok { //nolint:errorlint // Output returns it bare
			text += string(exit.Stderr)
		}
		t.Fatalf("%s %s: %v: %s", filepath.Base(program), strings.Join(args, " "), err, text)
	}
	return out
}
