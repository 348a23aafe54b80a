package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/command/survey"
	"github.com/almanac-data/almanac/functions/internal/published"
)

const tripsContract = `apiVersion: v3.1.0
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

const tripsPipeline = `apiVersion: almanac.dev/v1
kind: Pipeline
collect: {every: day, start: 2001-01-01, end: 2001-01-03, event_time: date, source: {path: "sample/{yyyy-mm-dd}.csv", format: csv}}
validate: {reject: {share: 1, rows: 100}}
`

// trips makes a folder with one dataset of two days, and gives it and a function that writes a file of the dataset.
func trips(t *testing.T) (root string, write func(name, text string)) {
	t.Helper()
	root = t.TempDir()
	write = func(name, text string) {
		t.Helper()
		at := filepath.Join(root, "trips", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o750), os.WriteFile(at, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write("contract.yaml", tripsContract)
	write("pipeline.yaml", tripsPipeline)
	write("sample/2001-01-01.csv", "date,n\n2001-01-01,1\n2001-01-01,50\n")
	write("sample/2001-01-02.csv", "date,n\n2001-01-02,99\n")
	return root, write
}

// callJSON runs a command that must succeed, and decodes what it prints.
func callJSON[T any](t *testing.T, args ...string) (v T) {
	t.Helper()
	out, code, err := call(t, append(args, "--json")...)
	if err == nil {
		err = json.Unmarshal([]byte(out), &v)
	}
	if err != nil || code != 0 {
		t.Fatalf("almanac %s: exit %d, %v: %s", strings.Join(args, " "), code, err, out)
	}
	return v
}

func TestDatasetsArePublishedListedAndWithdrawn(t *testing.T) {
	root, write := trips(t)
	data := filepath.Join(t.TempDir(), "data")
	at := func(args ...string) []string { return append(args, "--data", data, "--datasets", root) }

	if got := callJSON[publications](t, at("datasets", "publish", "--dry-run")...); !got.DryRun || len(got.Datasets) != 1 || !got.Datasets[0].Changed {
		t.Errorf("publish --dry-run = %+v", got)
	}
	if _, err := os.Stat(data); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("--dry-run has made the data folder: %v", err)
	}
	first := callJSON[publications](t, at("datasets", "publish")...)
	if p := first.Datasets[0]; p.Dataset != "trips" || !p.Changed || p.Number != 1 || p.Files != 4 || p.Replaces != nil || len(p.Changes.Added) != 4 {
		t.Errorf("publish = %+v", p)
	}
	if want := "almanac.raw.trips"; !strings.Contains(strings.Join(first.Topics, " "), want) {
		t.Errorf("publish made the topics %v, want %s among them", first.Topics, want)
	}
	again := callJSON[publications](t, at("datasets", "publish", "trips")...)
	if p := again.Datasets[0]; p.Changed || p.Number != 1 || p.Version != first.Datasets[0].Version || len(again.Topics) != 0 {
		t.Errorf("publish of the same = %+v, topics %v", p, again.Topics)
	}
	if l := callJSON[[]listedDataset](t, at("datasets")...); len(l) != 1 || l[0].Local != "same" || l[0].By == "" || l[0].Code != version || l[0].Withdrawn {
		t.Errorf("datasets = %+v", l)
	}

	write("contract.yaml", strings.Replace(tripsContract, "maximum: 100", "maximum: 60", 1))
	if l := callJSON[[]listedDataset](t, at("datasets")...); l[0].Local != "differs" {
		t.Errorf("datasets = %+v, want the folder to differ", l)
	}
	for _, dry := range []bool{true, false} {
		args := at("datasets", "publish")
		if dry {
			args = append(args, "--dry-run")
		}
		p := callJSON[publications](t, args...).Datasets[0]
		if p.Number != 2 || !p.DefinitionChanged || strings.Join(p.Changes.Changed, " ") != "contract.yaml" || p.Replaces.Version != first.Datasets[0].Version || !strings.Contains(p.Note, "still 1.0.0") {
			t.Errorf("publish of a change (dry run: %v) = %+v", dry, p)
		}
	}
	for range 2 {
		if out, code, err := call(t, at("datasets", "withdraw", "trips")...); code != 0 || !strings.Contains(out, "withdrawn") {
			t.Errorf("withdraw: exit %d, %v: %s", code, err, out)
		}
	}
	for _, name := range []string{"status", "plan"} {
		all := callJSON[[]survey.Dataset](t, name, "trips", "--data", data, "--datasets", "published")
		if len(all) != 1 || !all[0].Withdrawn || len(all[0].Windows) != 0 {
			t.Errorf("%s of what is withdrawn = %+v, want nothing to be due", name, all)
		}
	}
	if h := callJSON[[]published.Record](t, at("datasets", "history", "trips")...); len(h) != 3 || h[0].Number != 1 || h[2].Action != published.Withdraw {
		t.Errorf("history = %+v", h)
	}
	for _, args := range [][]string{{"datasets", "history", "none"}, {"datasets", "withdraw", "none"}, {"datasets", "publish", "none"}, {"datasets", "publish", "../x"}} {
		if _, code, err := call(t, at(args...)...); code != command.Usage || !strings.Contains(err.Error(), "trips") {
			t.Errorf("almanac %s: exit %d, %v, want the datasets that there are", strings.Join(args, " "), code, err)
		}
	}
	for _, verb := range []string{"history", "withdraw"} {
		for _, name := range []string{"../trips", "", "trips/../trips", "Trips"} {
			out, code, err := call(t, at("datasets", verb, name)...)
			if code != command.Usage || !strings.Contains(err.Error(), "names no dataset: the name of a dataset has") || !strings.Contains(err.Error(), "[trips]") || out != "" {
				t.Errorf("almanac datasets %s %q: exit %d, %v, prints %q; want a word about the name", verb, name, code, err, out)
			}
		}
	}
}

func TestAFolderWithMistakesIsNotPublished(t *testing.T) {
	root, write := trips(t)
	data := filepath.Join(t.TempDir(), "data")
	write("pipeline.yaml", strings.Replace(tripsPipeline, "every: day", "evry: day", 1))
	write("contract.yaml", strings.Replace(tripsContract, "status: active", "state: active", 1))
	_, code, err := call(t, "datasets", "publish", "--data", data, "--datasets", root)
	if code != 1 || !strings.Contains(err.Error(), "trips/pipeline.yaml:3") || !strings.Contains(err.Error(), "trips/contract.yaml:5") {
		t.Errorf("publish: exit %d, %v, want the mistakes of both files", code, err)
	}
	if _, err := os.Stat(data); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was made: %v", err)
	}
}

func TestARunTakesPublishedDatasets(t *testing.T) {
	root, write := trips(t)
	data := filepath.Join(t.TempDir(), "data")
	for _, variable := range os.Environ() { // those of a lab, which a data folder has nothing to do with
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "ALMANAC_") {
			t.Setenv(name, "")
		}
	}
	t.Setenv("ALMANAC_DATASETS_CACHE", t.TempDir())
	run := []string{"run", "--data", data, "--datasets", "published", "--no-serve", "--to", "2001-02-01"}
	if _, code, err := call(t, run...); code != 1 || !strings.Contains(err.Error(), "almanac datasets publish --data "+data) {
		t.Errorf("run without anything published: exit %d, %v", code, err)
	}
	rows := func() (sum int64) {
		for _, s := range callJSON[[]survey.Dataset](t, "status", "--data", data, "--datasets", "published") {
			for _, w := range s.Windows {
				for _, counts := range w.Sheet {
					sum += counts.Stored
				}
			}
		}
		return sum
	}
	callJSON[publications](t, "datasets", "publish", "--data", data, "--datasets", root)
	if out, code, err := call(t, run...); code != 0 {
		t.Fatalf("run: exit %d, %v: %s", code, err, out)
	}
	if n := rows(); n != 3 {
		t.Errorf("%d rows are stored, want 3", n)
	}
	if err := os.RemoveAll(filepath.Join(root, "trips", "sample")); err != nil { // what is published has its own
		t.Fatal(err)
	}
	write("sample/2001-01-01.csv", "date,n\n2001-01-01,1\n2001-01-01,50\n")
	write("sample/2001-01-02.csv", "date,n\n2001-01-02,99\n")
	write("contract.yaml", strings.Replace(tripsContract, "maximum: 100", "maximum: 60", 1))
	callJSON[publications](t, "datasets", "publish", "--data", data, "--datasets", root)
	if out, code, err := call(t, run...); code != 0 {
		t.Fatalf("run: exit %d, %v: %s", code, err, out)
	}
	if n := rows(); n != 2 {
		t.Errorf("%d rows are stored by the new contract, want 2", n)
	}
	if left, _ := filepath.Glob(os.Getenv("ALMANAC_DATASETS_CACHE") + "/*"); len(left) != 0 {
		t.Errorf("the runs leave %v", left)
	}
}
