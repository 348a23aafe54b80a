package outcome

import (
	"maps"
	"strings"
	"testing"

	"github.com/almanac-data/almanac/tests/internal/box"
	"github.com/almanac-data/almanac/tests/internal/reader"
)

// sound is an outcome without a fault.
func sound() *Outcome {
	window := box.Window{Step: "collect", Window: "2001-01-01", Phase: "stored", Generation: 1, Visible: 1, Sheet: map[string]box.Counts{
		"2001-01-01": {Read: 3, Stored: 2, Quarantined: 1},
	}}
	return &Outcome{
		Releases: map[string]reader.Release{"flights/training-2001-01.1": {Content: "{}", Files: map[string]string{"data/1.parquet": "d1"}}},
		Tables:   map[string]reader.Bag{"flights/rows": {"a": 1, "b": 1}},
		Status: []box.Dataset{{Dataset: "flights", Windows: []box.Window{
			window, {Step: "deliver", Name: "training", Window: "2001-01", Phase: "released", Version: "training-2001-01.1"},
		}}},
	}
}

// TestOutcome holds the comparison itself to account: each fault that a crash could cause must be told.
func TestOutcome(t *testing.T) {
	if wrong := append(sound().Differences(sound()), sound().Faults()...); len(wrong) > 0 {
		t.Errorf("a sound outcome has faults: %v", wrong)
	}
	for name, c := range map[string]struct {
		spoil func(o *Outcome)
		tells string
	}{
		"a release is missing": {func(o *Outcome) { clear(o.Releases) }, "published false"},
		"a release too many":   {func(o *Outcome) { o.Releases["flights/training-2001-01.2"] = reader.Release{} }, "published true, want false"},
		"other content":        {func(o *Outcome) { o.Releases["flights/training-2001-01.1"] = reader.Release{Content: "{1}"} }, "content of the manifest"},
		"another file": {func(o *Outcome) {
			maps.Copy(o.Releases["flights/training-2001-01.1"].Files, map[string]string{"x": "y"})
		}, "files are"},
		"a row twice":                      {func(o *Outcome) { o.Tables["flights/rows"]["a"]++ }, `"a" 2 times, want 1`},
		"a row lost":                       {func(o *Outcome) { delete(o.Tables["flights/rows"], "b") }, `"b" 0 times, want 1`},
		"a table too many":                 {func(o *Outcome) { o.Tables["flights/more"] = reader.Bag{"x": 1} }, "table flights/more"},
		"a window that is not done":        {func(o *Outcome) { o.Status[0].Windows[0].Phase = "storing" }, "is storing"},
		"a second generation":              {func(o *Outcome) { o.Status[0].Windows[0].Generation = 2 }, "done twice"},
		"a second revision":                {func(o *Outcome) { o.Status[0].Windows[1].Version = "training-2001-01.2" }, "released twice"},
		"a sheet that does not balance":    {func(o *Outcome) { o.Status[0].Windows[0].Sheet["2001-01-01"] = box.Counts{Read: 3, Stored: 2} }, "does not balance"},
		"sheets that say other than table": {func(o *Outcome) { o.Status[0].Windows[0].Sheet["2001-01-02"] = box.Counts{Read: 1, Stored: 1} }, "the sheets say 3"},
		"a dead letter that is invalid": {func(o *Outcome) {
			o.Late, o.Letters = true, []box.Letter{{ID: "0/1", Attributes: map[string]string{"knativeerrorcode": "422"}}, {ID: "0/2", Attributes: map[string]string{"knativeerrorcode": "503"}}}
		}, "dead letter 0/1"},
		"a dead letter": {func(o *Outcome) { o.Letters = []box.Letter{{ID: "0/1"}} }, "dead letter 0/1"},
	} {
		o := sound()
		c.spoil(o)
		if told := strings.Join(append(o.Differences(sound()), o.Faults()...), "\n"); !strings.Contains(told, c.tells) {
			t.Errorf("%s: told is %q, want %q", name, told, c.tells)
		}
	}
}
