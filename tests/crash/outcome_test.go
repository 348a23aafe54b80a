package crash

import (
	"maps"
	"strings"
	"testing"

	"github.com/almanac-data/almanac/tests/internal/box"
	"github.com/almanac-data/almanac/tests/internal/reader"
)

// sound is an outcome without a fault.
func sound() *outcome {
	window := box.Window{Step: "collect", Window: "2001-01-01", Phase: "stored", Generation: 1, Visible: 1, Sheet: map[string]box.Counts{
		"2001-01-01": {Read: 3, Stored: 2, Quarantined: 1},
	}}
	return &outcome{
		releases: map[string]reader.Release{"flights/training-2001-01.1": {Content: "{}", Files: map[string]string{"data/1.parquet": "d1"}}},
		tables:   map[string]reader.Bag{"flights/rows": {"a": 1, "b": 1}},
		status: []box.Dataset{{Dataset: "flights", Windows: []box.Window{
			window, {Step: "deliver", Name: "training", Window: "2001-01", Phase: "released", Version: "training-2001-01.1"},
		}}},
	}
}

// TestOutcome holds the comparison itself to account: each fault that a crash could cause must be told.
func TestOutcome(t *testing.T) {
	if wrong := append(sound().differences(sound()), sound().faults()...); len(wrong) > 0 {
		t.Errorf("a sound outcome has faults: %v", wrong)
	}
	for name, c := range map[string]struct {
		spoil func(o *outcome)
		tells string
	}{
		"a release is missing": {func(o *outcome) { clear(o.releases) }, "published false"},
		"a release too many":   {func(o *outcome) { o.releases["flights/training-2001-01.2"] = reader.Release{} }, "published true, want false"},
		"other content":        {func(o *outcome) { o.releases["flights/training-2001-01.1"] = reader.Release{Content: "{1}"} }, "content of the manifest"},
		"another file": {func(o *outcome) {
			maps.Copy(o.releases["flights/training-2001-01.1"].Files, map[string]string{"x": "y"})
		}, "files are"},
		"a row twice":                      {func(o *outcome) { o.tables["flights/rows"]["a"]++ }, `"a" 2 times, want 1`},
		"a row lost":                       {func(o *outcome) { delete(o.tables["flights/rows"], "b") }, `"b" 0 times, want 1`},
		"a table too many":                 {func(o *outcome) { o.tables["flights/more"] = reader.Bag{"x": 1} }, "table flights/more"},
		"a window that is not done":        {func(o *outcome) { o.status[0].Windows[0].Phase = "storing" }, "is storing"},
		"a second generation":              {func(o *outcome) { o.status[0].Windows[0].Generation = 2 }, "done twice"},
		"a second revision":                {func(o *outcome) { o.status[0].Windows[1].Version = "training-2001-01.2" }, "released twice"},
		"a sheet that does not balance":    {func(o *outcome) { o.status[0].Windows[0].Sheet["2001-01-01"] = box.Counts{Read: 3, Stored: 2} }, "does not balance"},
		"sheets that say other than table": {func(o *outcome) { o.status[0].Windows[0].Sheet["2001-01-02"] = box.Counts{Read: 1, Stored: 1} }, "the sheets say 3"},
		"a dead letter":                    {func(o *outcome) { o.letters = []box.Letter{{ID: "0/1"}} }, "dead letter 0/1"},
	} {
		o := sound()
		c.spoil(o)
		if told := strings.Join(append(o.differences(sound()), o.faults()...), "\n"); !strings.Contains(told, c.tells) {
			t.Errorf("%s: told is %q, want %q", name, told, c.tells)
		}
	}
}
