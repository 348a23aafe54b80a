// Package pyiceberg reads Iceberg tables with PyIceberg, a program that shares nothing with Almanac, and makes the Python environment for that.
package pyiceberg

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/almanac-data/almanac/tests/internal/reader"
)

// here is the folder of this package in the repository.
const here = "tests/internal/pyiceberg"

// Venv makes .cache/venv of the repository with the pinned packages, once; the test is skipped where there is no Python.
func Venv(t *testing.T, root string) string {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is missing: install it (apt-get install python3-venv) to read the tables with PyIceberg")
	}
	dir, err := filepath.Abs(filepath.Join(root, ".cache", "venv"))
	if err != nil {
		t.Fatal(err)
	}
	wanted, err := os.ReadFile(filepath.Join(root, here, "requirements.txt"))
	if err != nil {
		t.Fatal(err)
	}
	version, err := exec.Command(python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").Output()
	if err != nil {
		t.Fatal(err)
	}
	hashes := runtime.GOOS == "linux" && runtime.GOARCH == "amd64" && strings.TrimSpace(string(version)) == "3.11"
	digest := sha256.Sum256(append(wanted, version...))
	mark := filepath.Join(dir, "made-of-"+hex.EncodeToString(digest[:8]))
	if _, err := os.Stat(mark); err == nil {
		return dir
	}
	requirements := filepath.Join(t.TempDir(), "requirements.txt")
	install := []string{"-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r", requirements}
	if hashes {
		install = append(install, "--require-hashes", "--only-binary", ":all:")
	} else { // other wheels have other digests
		wanted = regexp.MustCompile(` --hash=\S+`).ReplaceAll(wanted, nil)
	}
	if err := os.WriteFile(requirements, wanted, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	Output(t, 5*time.Minute, python, "-m", "venv", dir)
	Output(t, 5*time.Minute, filepath.Join(dir, "bin", "python"), install...)
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

// Table is what PyIceberg says of a table.
type Table struct {
	Rows    int                    `json:"rows"`
	Columns []string               `json:"columns"`
	Sums    map[string]json.Number `json:"sums"`
	Files   int                    `json:"files"`
}

// Read describes tables by the paths or URIs of their metadata. Those of the scheme hdfs are read through WebHDFS at its address, if one is given, without Kerberos.
func Read(t *testing.T, root, webhdfs string, metadata ...string) map[string]Table {
	t.Helper()
	args := []string{filepath.Join(root, here, "read.py")}
	if webhdfs != "" {
		args = append(args, "--webhdfs", webhdfs)
	}
	var got map[string]Table
	if err := json.Unmarshal(Output(t, 5*time.Minute, filepath.Join(Venv(t, root), "bin", "python"), append(args, metadata...)...), &got); err != nil {
		t.Fatal(err)
	}
	return got
}

// Same compares what PyIceberg reads with what the tests' own reader reads.
func Same(t *testing.T, name string, got Table, want *reader.Table) {
	t.Helper()
	if !slices.Equal(got.Columns, want.Columns) || got.Files != len(want.Files) {
		t.Errorf("%s: PyIceberg sees columns %v in %d files, want %v in %d", name, got.Columns, got.Files, want.Columns, len(want.Files))
	}
	rows, err := want.Rows()
	if err != nil {
		t.Fatal(err)
	}
	if got.Rows != rows.Len() {
		t.Errorf("%s: PyIceberg sees %d rows, want %d", name, got.Rows, rows.Len())
	}
	for column, sum := range got.Sums {
		values, err := want.Rows(column)
		if err != nil {
			t.Fatal(err)
		}
		total := new(big.Int)
		for value, n := range values {
			if v, err := strconv.ParseInt(value, 10, 64); err == nil {
				total.Add(total, new(big.Int).Mul(big.NewInt(v), big.NewInt(int64(n))))
			}
		}
		if sum.String() != total.String() && (sum != "" || len(values) > 0) && fmt.Sprint(sum) != "null" {
			t.Errorf("%s: PyIceberg sums %s to %s, want %s", name, column, sum, total)
		}
	}
}
