package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/almanac-data/almanac/tests/internal/reader"
)

// TestRestated changes a day of the first week after everything is done: exactly what depends on it is made again, and the old release
// stays as it was, but is marked.
func TestRestated(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.run(t, 0)
	warehouse := filepath.Join(s.Data, "warehouse")
	before, err := reader.Releases(warehouse)
	if err != nil {
		t.Fatal(err)
	}
	restated := slices.Concat(rowsOf(bad)[2:], []sale{{firstDay.AddDate(0, 0, bad-1).Add(23 * time.Hour), "north", 500}})
	s.write(t, file(bad), csvOf(restated))
	s.run(t, 0)
	s.finished(t, all(map[int][]sale{bad: restated}))
	for _, w := range status(t, s.Box).Windows {
		generation, version := 1, w.Name+"-"+w.Window+".1"
		if w.Window == key(bad) {
			generation = 2
		}
		if w.Window == "2024-W01" {
			version = w.Name + "-" + w.Window + ".2"
		}
		if w.Step == "collect" && w.Visible != generation || w.Step == "deliver" && w.Version != version {
			t.Errorf("%s %s is generation %d, version %q; want %d, %q", w.Step, w.Window, w.Visible, w.Version, generation, version)
		}
	}
	after, err := reader.Releases(warehouse)
	if err != nil {
		t.Fatal(err)
	}
	if len(before) != 2 || len(after) != 3 {
		t.Errorf("%d releases before and %d after, want 2 and 3", len(before), len(after))
	}
	for version, release := range before {
		if after[version].Content != release.Content {
			t.Errorf("release %s was changed", version)
		}
	}
	stale(t, s)
	run(t, s.Box, 0, "releases", "verify", "training-2024-W01.1")
	run(t, s.Box, 0, "releases", "verify", "training-2024-W01.2")
	idle(t, s)
}

// stale checks that of the three releases only the first is marked, with its cause.
func stale(t *testing.T, s *shop) {
	t.Helper()
	var list []struct {
		Version string `json:"version"`
		Stale   *struct {
			Cause string `json:"cause"`
		} `json:"stale"`
	}
	if err := s.JSON(patient(t), &list, []string{"releases", "list"}); err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		if old := r.Version == "training-2024-W01.1"; old != (r.Stale != nil) {
			t.Errorf("release %s: marked as stale is %t, want %t", r.Version, r.Stale != nil, old)
		} else if old {
			contains(t, "the mark of "+r.Version, r.Stale.Cause, key(bad))
		}
	}
}

// TestVerifyFindsChanges changes one byte of a release.
func TestVerifyFindsChanges(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.run(t, 0)
	files, err := filepath.Glob(filepath.Join(s.Data, "warehouse", "releases", "shop", "training-2024-W01.1", "data", "*.parquet"))
	if err != nil || len(files) == 0 {
		t.Fatalf("the release has no files: %v", err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(files[0], data, 0o644); err != nil {
		t.Fatal(err)
	}
	contains(t, "releases verify", run(t, s.Box, 1, "releases", "verify", "training-2024-W01.1").Text(), filepath.Base(files[0]))
	run(t, s.Box, 0, "releases", "verify", "training-2024-W02.1")
}

// TestLateRow has a row of the first week come with the second: with an allowance it is stored with the day that it came with, and the
// first week is made again; without one it goes to quarantine.
func TestLateRow(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.replace(t, "pipeline.yaml", "lateness: 0d", "lateness: 3d")
	late := sale{firstDay.AddDate(0, 0, 6).Add(22 * time.Hour), "north", 3} // Sunday, in Tuesday's file
	s.run(t, 0)
	s.finished(t, all(nil))
	with := append(rowsOf(9), late)
	s.write(t, file(9), csvOf(with))
	s.run(t, 0)
	s.finished(t, all(map[int][]sale{9: with}))
	now := status(t, s.Box)
	if got := now.Find("deliver", "training", "2024-W01").Version; got != "training-2024-W01.2" {
		t.Errorf("the release of the first week is %s, want training-2024-W01.2, which has the late row", got)
	}
	if got, ok := now.Find("collect", "", key(9)).Sheet[key(7)]; !ok || got.Stored != 1 {
		t.Errorf("the sheet of the day says %+v of the late row's day, want one row stored", got)
	}
	s.replace(t, "pipeline.yaml", "lateness: 3d", "lateness: 0d")
	s.run(t, 0)
	s.finished(t, all(nil)) // the allowance is part of the definition: every day was made again
}

// TestContractChanges widens a rule: what was refused becomes good in the next generation, without the source.
func TestContractChanges(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	at := firstDay.AddDate(0, 0, bad-1).Add(21 * time.Hour)
	s.write(t, file(bad), csvOf(rowsOf(bad), at.Format(time.RFC3339)+",north,1200"))
	s.run(t, 0)
	s.finished(t, all(nil))
	s.remove(t, file(bad))
	s.replace(t, "contract.yaml", "maximum: 1000", "maximum: 2000")
	s.run(t, 0)
	s.finished(t, all(map[int][]sale{bad: append(rowsOf(bad), sale{at, "north", 1200})}))
}

// idle runs on a finished folder: it says so, and changes no file of the warehouse.
func idle(t *testing.T, s *shop) {
	t.Helper()
	before, err := reader.Listing(filepath.Join(s.Data, "warehouse"))
	if err != nil {
		t.Fatal(err)
	}
	contains(t, "a run on a finished state", s.run(t, 0).Out, "nothing to do")
	after, err := reader.Listing(filepath.Join(s.Data, "warehouse"))
	if err != nil {
		t.Fatal(err)
	}
	for name, was := range before {
		if after[name] != was {
			t.Errorf("a run on a finished state changed %s", name)
		}
	}
	if len(after) != len(before) {
		t.Errorf("a run on a finished state made %d files", len(after)-len(before))
	}
}

// TestPlan looks at what would be done, does nothing, and is right.
func TestPlan(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	run(t, s.Box, 0, "run", "--no-serve", "--to", "2024-01-04")
	var plan []json.RawMessage
	if err := s.JSON(patient(t), &plan, []string{"plan"}); err != nil {
		t.Fatal(err)
	}
	contains(t, "plan", run(t, s.Box, 0, "plan").Out, "shop collect", key(4), key(14))
	if got := status(t, s.Box).Find("collect", "", key(4)).Phase; got != "due" {
		t.Errorf("after plan, day 4 is %s, want due", got)
	}
	s.run(t, 0)
	s.finished(t, all(nil))
	contains(t, "plan", run(t, s.Box, 0, "plan").Out, "nothing is to do")
}
