// Package commandtest calls commands as a shell would.
package commandtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sethvargo/go-envconfig"
	"github.com/spf13/cobra"

	"github.com/almanac-data/almanac/functions/internal/command"
)

// Version is what the commands take for that of the program.
const Version = "test"

// Options are those of a command that prints to out.
func Options(out io.Writer) *command.Options {
	return &command.Options{Out: out, Err: out, Env: envconfig.OsLookuper(), Now: func() time.Time { return time.Now().UTC() }, Version: Version}
}

// Almanac is a program of some commands.
type Almanac []func(*command.Options) *cobra.Command

// Call returns what a command prints, its exit code and its error.
func (a Almanac) Call(t *testing.T, args ...string) (out string, code int, err error) {
	t.Helper()
	var printed bytes.Buffer
	root := Options(&printed).Root(a...)
	root.SetArgs(args)
	err = root.ExecuteContext(t.Context())
	return printed.String(), command.Report(io.Discard, err), err
}

// JSON calls a command that must succeed, and decodes what it prints.
func JSON[T any](t *testing.T, a Almanac, args ...string) (v T) {
	t.Helper()
	out, code, err := a.Call(t, append(args, "--json")...)
	if err == nil {
		err = json.Unmarshal([]byte(out), &v)
	}
	if err != nil || code != 0 {
		t.Fatalf("almanac %s: exit %d, %v: %s", strings.Join(args, " "), code, err, out)
	}
	return v
}

// Unset takes the variables of a lab away, which a data folder has nothing to do with.
func Unset(t *testing.T) {
	t.Helper()
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "ALMANAC_") {
			t.Setenv(name, "")
		}
	}
}

// TripsContract takes numbers up to 100.
const TripsContract = `apiVersion: v3.1.0
kind: DataContract
id: trips
version: 1.0.0
status: active
schema:
  - name: rows
    properties:
      - {name: date, logicalType: date, required: true}
      - {name: n, logicalType: integer, logicalTypeOptions: {maximum: 100}}
`

// TripsPipeline collects two days.
const TripsPipeline = `apiVersion: almanac.dev/v1
kind: Pipeline
collect: {every: day, start: 2001-01-01, end: 2001-01-03, event_time: date, source: {path: "sample/{yyyy-mm-dd}.csv", format: csv}}
validate: {reject: {share: 1, rows: 100}}
`

// Trips makes a folder with one dataset of two days, and gives it and a function that writes a file of the dataset.
func Trips(t *testing.T) (root string, write func(name, text string)) {
	t.Helper()
	root = t.TempDir()
	write = func(name, text string) {
		t.Helper()
		at := filepath.Join(root, "trips", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o750), os.WriteFile(at, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write("contract.yaml", TripsContract)
	write("pipeline.yaml", TripsPipeline)
	write("sample/2001-01-01.csv", "date,n\n2001-01-01,1\n2001-01-01,50\n")
	write("sample/2001-01-02.csv", "date,n\n2001-01-02,99\n")
	return root, write
}
