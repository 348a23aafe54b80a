package rights_test

import (
	"slices"
	"testing"

	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/rights"
)

func flights() *dataset.Dataset {
	return &dataset.Dataset{Name: "flights", Aggregates: []dataset.Query{{Name: "weekly"}}, Releases: []dataset.Query{{Name: "training"}}}
}

// TestNobodyWritesWhatAnotherMakes holds the point of users of their own: what one function makes no other can change, but for the calendar, which
// sweeps.
func TestNobodyWritesWhatAnotherMakes(t *testing.T) {
	writers := map[string][]string{}
	for _, f := range rights.Of(flights()) {
		writers[f.Path] = f.Write
	}
	for folder, want := range map[string][]string{
		".": {"calendar"}, "datasets": nil, "releases": nil, "flights": nil,
		"flights/raw": {"store"}, "flights/data-keys": {"collect"}, "flights/staging": {"store"}, "flights/rows": {"store"}, "flights/quarantine": {"store"},
		"flights/weekly": {"aggregate"}, "releases/flights": {"deliver"},
	} {
		got, ok := writers[folder]
		if !ok || !slices.Equal(got, want) {
			t.Errorf("in %s write %v (%v), want %v", folder, got, ok, want)
		}
		delete(writers, folder)
	}
	if len(writers) > 0 {
		t.Errorf("nobody thought of %v", writers)
	}
}

func TestWhoMayReachAFolderAlsoPassesThoseAboveIt(t *testing.T) {
	all := rights.Of(flights())
	may := map[string][]string{}
	for i, f := range all {
		if i == 0 != (f.Path == ".") {
			t.Errorf("folder %d is %s, and a folder must come after those that it lies in", i, f.Path)
		}
		may[f.Path] = slices.Concat(f.Pass, f.Read, f.Write)
		for n, name := range may[f.Path] {
			if slices.Contains(may[f.Path][:n], name) {
				t.Errorf("in %s %s may two things", f.Path, name)
			}
			if !slices.Contains(rights.Functions, name) {
				t.Errorf("in %s %s may something, which is no function", f.Path, name)
			}
		}
	}
	for folder, above := range map[string]string{
		"datasets": ".", "releases": ".", "flights": ".", "flights/raw": "flights", "flights/data-keys": "flights", "flights/rows": "flights",
		"flights/weekly": "flights", "flights/staging": "flights", "flights/quarantine": "flights", "releases/flights": "releases",
	} {
		for _, name := range may[folder] {
			if !slices.Contains(may[above], name) {
				t.Errorf("%s may something in %s and cannot pass %s", name, folder, above)
			}
		}
	}
	for _, name := range []string{"validate", "serve"} { // they have nothing to do in a dataset's tables
		if slices.Contains(may["flights"], name) {
			t.Errorf("%s passes flights", name)
		}
	}
	if slices.Contains(may["flights/rows"], "collect") || slices.Contains(may["flights/data-keys"], "store") || slices.Contains(may["flights/data-keys"], "deliver") {
		t.Errorf("rows and keys are let to %v and %v", may["flights/rows"], may["flights/data-keys"])
	}
}
