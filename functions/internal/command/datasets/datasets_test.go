package datasets

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/command/commandtest"
	"github.com/almanac-data/almanac/functions/internal/command/run"
	"github.com/almanac-data/almanac/functions/internal/command/status"
	"github.com/almanac-data/almanac/functions/internal/command/survey"
	"github.com/almanac-data/almanac/functions/internal/published"
)

var almanac = commandtest.Almanac{New, run.New, status.New, status.NewPlan}

func TestDatasetsArePublishedListedAndWithdrawn(t *testing.T) {
	root, write := commandtest.Trips(t)
	data := filepath.Join(t.TempDir(), "data")
	at := func(args ...string) []string { return append(args, "--data", data, "--datasets", root) }

	if got := commandtest.JSON[publications](t, almanac, at("datasets", "publish", "--dry-run")...); !got.DryRun || len(got.Datasets) != 1 || !got.Datasets[0].Changed {
		t.Errorf("publish --dry-run = %+v", got)
	}
	if _, err := os.Stat(data); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("--dry-run has made the data folder: %v", err)
	}
	first := commandtest.JSON[publications](t, almanac, at("datasets", "publish")...)
	if p := first.Datasets[0]; p.Dataset != "trips" || !p.Changed || p.Number != 1 || p.Files != 4 || p.Replaces != nil || len(p.Changes.Added) != 4 {
		t.Errorf("publish = %+v", p)
	}
	if want := "almanac.raw.trips"; !strings.Contains(strings.Join(first.Topics, " "), want) {
		t.Errorf("publish made the topics %v, want %s among them", first.Topics, want)
	}
	again := commandtest.JSON[publications](t, almanac, at("datasets", "publish", "trips")...)
	if p := again.Datasets[0]; p.Changed || p.Number != 1 || p.Version != first.Datasets[0].Version || len(again.Topics) != 0 {
		t.Errorf("publish of the same = %+v, topics %v", p, again.Topics)
	}
	if l := commandtest.JSON[[]listedDataset](t, almanac, at("datasets")...); len(l) != 1 || l[0].Local != "same" || l[0].By == "" || l[0].Code != commandtest.Version || l[0].Withdrawn {
		t.Errorf("datasets = %+v", l)
	}

	write("contract.yaml", strings.Replace(commandtest.TripsContract, "maximum: 100", "maximum: 60", 1))
	if l := commandtest.JSON[[]listedDataset](t, almanac, at("datasets")...); l[0].Local != "differs" {
		t.Errorf("datasets = %+v, want the folder to differ", l)
	}
	for _, dry := range []bool{true, false} {
		args := at("datasets", "publish")
		if dry {
			args = append(args, "--dry-run")
		}
		p := commandtest.JSON[publications](t, almanac, args...).Datasets[0]
		if p.Number != 2 || !p.DefinitionChanged || strings.Join(p.Changes.Changed, " ") != "contract.yaml" || p.Replaces.Version != first.Datasets[0].Version || !strings.Contains(p.Note, "still 1.0.0") {
			t.Errorf("publish of a change (dry run: %v) = %+v", dry, p)
		}
	}
	for range 2 {
		if out, code, err := almanac.Call(t, at("datasets", "withdraw", "trips")...); code != 0 || !strings.Contains(out, "withdrawn") {
			t.Errorf("withdraw: exit %d, %v: %s", code, err, out)
		}
	}
	for _, name := range []string{"status", "plan"} {
		all := commandtest.JSON[[]survey.Dataset](t, almanac, name, "trips", "--data", data, "--datasets", "published")
		if len(all) != 1 || !all[0].Withdrawn || len(all[0].Windows) != 0 {
			t.Errorf("%s of what is withdrawn = %+v, want nothing to be due", name, all)
		}
	}
	if h := commandtest.JSON[[]published.Record](t, almanac, at("datasets", "history", "trips")...); len(h) != 3 || h[0].Number != 1 || h[2].Action != published.Withdraw {
		t.Errorf("history = %+v", h)
	}
	for _, args := range [][]string{{"datasets", "history", "none"}, {"datasets", "withdraw", "none"}, {"datasets", "publish", "none"}, {"datasets", "publish", "../x"}} {
		if _, code, err := almanac.Call(t, at(args...)...); code != command.Usage || !strings.Contains(err.Error(), "trips") {
			t.Errorf("almanac %s: exit %d, %v, want the datasets that there are", strings.Join(args, " "), code, err)
		}
	}
	for _, verb := range []string{"history", "withdraw"} {
		for _, name := range []string{"../trips", "", "trips/../trips", "Trips"} {
			out, code, err := almanac.Call(t, at("datasets", verb, name)...)
			if code != command.Usage || !strings.Contains(err.Error(), "names no dataset: the name of a dataset has") || !strings.Contains(err.Error(), "[trips]") || out != "" {
				t.Errorf("almanac datasets %s %q: exit %d, %v, prints %q; want a word about the name", verb, name, code, err, out)
			}
		}
	}
}

func TestShareSaysWhomItWouldLetIn(t *testing.T) {
	config := filepath.Join(t.TempDir(), "cluster.yaml")
	if err := os.WriteFile(config, []byte("warehouse: "+t.TempDir()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"datasets", "share"}, {"datasets", "share", "--config", config}} {
		if _, code, err := almanac.Call(t, args...); code != 2 || !strings.Contains(err.Error(), "ALMANAC_HDFS_USERS") {
			t.Errorf("%v: exit %d, %v, want a refusal that names the setting", args, code, err)
		}
	}
}

func TestAFolderWithMistakesIsNotPublished(t *testing.T) {
	root, write := commandtest.Trips(t)
	data := filepath.Join(t.TempDir(), "data")
	write("pipeline.yaml", strings.Replace(commandtest.TripsPipeline, "every: day", "evry: day", 1))
	write("contract.yaml", strings.Replace(commandtest.TripsContract, "status: active", "state: active", 1))
	_, code, err := almanac.Call(t, "datasets", "publish", "--data", data, "--datasets", root)
	if code != 1 || !strings.Contains(err.Error(), "trips/pipeline.yaml:3") || !strings.Contains(err.Error(), "trips/contract.yaml:5") {
		t.Errorf("publish: exit %d, %v, want the mistakes of both files", code, err)
	}
	if _, err := os.Stat(data); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was made: %v", err)
	}
}

func TestARunTakesPublishedDatasets(t *testing.T) {
	root, write := commandtest.Trips(t)
	data := filepath.Join(t.TempDir(), "data")
	commandtest.Unset(t)
	t.Setenv("ALMANAC_DATASETS_CACHE", t.TempDir())
	run := []string{"run", "--data", data, "--datasets", "published", "--no-serve", "--to", "2001-02-01"}
	if _, code, err := almanac.Call(t, run...); code != 1 || !strings.Contains(err.Error(), "almanac datasets publish --data "+data) {
		t.Errorf("run without anything published: exit %d, %v", code, err)
	}
	rows := func() (sum int64) {
		for _, s := range commandtest.JSON[[]survey.Dataset](t, almanac, "status", "--data", data, "--datasets", "published") {
			for _, w := range s.Windows {
				for _, counts := range w.Sheet {
					sum += counts.Stored
				}
			}
		}
		return sum
	}
	commandtest.JSON[publications](t, almanac, "datasets", "publish", "--data", data, "--datasets", root)
	if out, code, err := almanac.Call(t, run...); code != 0 {
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
	write("contract.yaml", strings.Replace(commandtest.TripsContract, "maximum: 100", "maximum: 60", 1))
	commandtest.JSON[publications](t, almanac, "datasets", "publish", "--data", data, "--datasets", root)
	if out, code, err := almanac.Call(t, run...); code != 0 {
		t.Fatalf("run: exit %d, %v: %s", code, err, out)
	}
	if n := rows(); n != 2 {
		t.Errorf("%d rows are stored by the new contract, want 2", n)
	}
	if left, _ := filepath.Glob(os.Getenv("ALMANAC_DATASETS_CACHE") + "/*"); len(left) != 0 {
		t.Errorf("the runs leave %v", left)
	}
}
