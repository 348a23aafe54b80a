package runs

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/facts/factstest"
)

var piece = events.Piece{Dataset: "flights", Window: "2001-01-05", Generation: 1}

// said gives the facts of one slice as far as the number of steps.
func said(n, steps int, last bool) []events.Event {
	p, sheet := piece.At(n), events.Sheet{"2001-01-05": {Read: 10, Stored: 9, Quarantined: 1}}
	collected := events.Collected{Piece: p, Last: last, Reason: "late"}
	processed := events.Processed{Piece: p, Inputs: collected.Digest(), Sheet: sheet}
	validated := events.Validated{Piece: p, Inputs: processed.Digest(), Sheet: sheet, Reasons: map[string]int64{"range": 1}}
	staged := events.Staged{Piece: p, Inputs: validated.Digest(), Sheet: sheet, Reasons: map[string]int64{"range": 1}}
	return []events.Event{collected, processed, validated, staged}[:steps]
}

func all(slices ...[]events.Event) []events.Event {
	var evs []events.Event
	for _, s := range slices {
		evs = append(evs, s...)
	}
	return evs
}

func TestStateOfARun(t *testing.T) {
	due := events.Due{Piece: piece, Step: events.StepCollect, Reason: "schedule"}
	stop := func(definition string, waiting bool) events.Stopped {
		return events.Stopped{Piece: piece, Step: "store", Definition: definition, Reason: "reject_budget", Waiting: waiting}
	}
	stored := events.Stored{Piece: piece, Entry: events.Entry{Slices: 2, Sheet: events.Sheet{"2001-01-05": {Read: 20, Stored: 20}}}}
	tests := map[string]struct {
		facts []events.Event
		state string
		steps Steps
		read  int64
	}{
		"announced":                 {[]events.Event{due}, Due, Steps{}, 0},
		"collected":                 {all(said(1, 1, true)), "processing", Steps{1, 0, 0, 0}, 0},
		"processed":                 {all(said(1, 2, true)), "validating", Steps{1, 1, 0, 0}, 10},
		"validated":                 {all(said(1, 3, true)), "storing", Steps{1, 1, 1, 0}, 10},
		"staged but for the commit": {all(said(1, 4, true)), "storing", Steps{1, 1, 1, 1}, 10},
		"the next slice is missing": {all(said(1, 4, false)), "collecting", Steps{1, 1, 1, 1}, 10},
		"the first slice that is not staged decides": {all(said(1, 3, false), said(2, 1, true)), "storing", Steps{2, 1, 1, 0}, 10},
		"a later slice may be further":               {all(said(1, 1, false), said(2, 4, true)), "processing", Steps{2, 1, 1, 1}, 10},
		"a fact of other inputs does not count":      {append(said(1, 2, true), events.Validated{Piece: piece.At(1), Inputs: "other"}), "validating", Steps{1, 1, 0, 0}, 10},
		"stored":                                     {append(all(said(1, 4, false), said(2, 4, true)), stored), Stored, Steps{2, 2, 2, 2}, 20},
		"stopped":                                    {append(said(1, 4, true), stop("def", false)), Stopped, Steps{1, 1, 1, 1}, 10},
		"waiting":                                    {[]events.Event{due, stop("", true)}, Waiting, Steps{}, 0},
		"stopped under another definition is on its way":  {append(said(1, 4, true), stop("old", false)), "storing", Steps{1, 1, 1, 1}, 10},
		"given up as the source changed":                  {append(said(1, 2, true), events.Restated{Piece: piece}), GivenUp, Steps{1, 1, 0, 0}, 10},
		"stored though the source has changed since then": {append(said(1, 4, true), stored, events.Restated{Piece: piece}), Stored, Steps{1, 1, 1, 1}, 20},
	}
	for name, tt := range tests {
		var journal factstest.Memory
		// So that each window is spoken of.
		if err := journal.Say(t.Context(), append([]events.Event{due}, tt.facts...)...); err != nil {
			t.Fatal(err)
		}
		view, err := journal.View(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		windows := Of(view, &dataset.Dataset{Name: "flights", Definition: "def"}, "/w/")
		if len(windows) != 1 || windows[0].URL != "/w/2001-01-05" || len(windows[0].Runs) != 1 {
			t.Errorf("%s: Of() = %+v, want one window with one run", name, windows)
			continue
		}
		got := windows[0].Runs[0]
		if got.State != tt.state || got.Steps != tt.steps || got.Sheet.Read != tt.read || windows[0].State != tt.state {
			t.Errorf("%s: run = %+v, want %s %+v with %d rows read", name, got, tt.state, tt.steps, tt.read)
		}
	}
}

func TestGenerations(t *testing.T) {
	var journal factstest.Memory
	for generation := 1; generation <= 3; generation++ {
		p := piece
		p.Generation = generation
		if err := journal.Say(t.Context(), events.Stored{Piece: p}, events.Due{Piece: p, Step: events.StepCollect, Reason: "probe"}); err != nil {
			t.Fatal(err)
		}
	}
	p := piece
	p.Generation = 4
	other := events.Piece{Dataset: "flights-2", Window: "2001-01-05", Generation: 1}
	named := events.Piece{Dataset: "flights", Name: "training", Window: "2001-01"}
	err := journal.Say(t.Context(), events.Due{Piece: p, Step: events.StepCollect, Reason: "restated"},
		events.Due{Piece: other, Step: events.StepCollect}, events.Stopped{Piece: named})
	if err != nil {
		t.Fatal(err)
	}
	view, err := journal.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	windows := Of(view, &dataset.Dataset{Name: "flights"}, "")
	if len(windows) != 1 || windows[0].Visible != 3 || windows[0].State != Due {
		t.Fatalf("Of() = %+v, want one window, generation 3 visible, the next one due", windows)
	}
	var got []string
	for _, r := range windows[0].Runs {
		got = append(got, r.State+" "+r.Reason)
	}
	if diff := cmp.Diff([]string{"due restated", "stored ", "replaced ", "replaced "}, got); diff != "" {
		t.Error(diff)
	}
}
