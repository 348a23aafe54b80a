package store

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/store/layout"
	"github.com/almanac-data/almanac/functions/internal/table"
)

var (
	first = []row{
		{id: 1, at: "01-05 00:00", delay: 5, origin: "ABC"}, {id: 2, at: "01-05 13:00", delay: nil, origin: ""},
		{id: 3, at: "01-05 14:00", delay: -7, origin: nil}, {id: 90, at: "01-05 15:00", refused: "type"},
	}
	second = []row{{id: 4, at: "01-04 23:59", delay: 0, origin: "a name longer than eight"}, {id: 5, at: "01-05 23:59", delay: 1, origin: "X"}, {id: 91, at: "01-05 01:00", dropped: true}}
	third  = []row{{id: 6, at: "01-05 03:00", delay: 2, origin: "ABC"}, {id: 92, at: "01-05 04:00", refused: "range"}}

	allRows = []string{"1 5 ABC 1 1 0", "2 null  1 1 1", "3 -7 null 1 1 2", "4 0 a name longer than eight 1 2 0", "5 1 X 1 2 1", "6 2 ABC 1 3 0"}
)

const shown = "id delay origin _generation _slice _ordinal"

// wantWhole holds the world to what one undisturbed run over first, second and third leaves.
func (w *world) wantWhole() {
	w.t.Helper()
	w.wantRows(table.Rows, shown, allRows...)
	w.wantRows(table.Quarantine, "original reason ordinal _generation _slice", "90 type 3 1 1", "92 range 1 1 3")
	for _, tab := range []string{table.Rows, table.Quarantine} {
		if n := w.snapshots(tab); n != 1 {
			w.t.Errorf("%s has %d snapshots, want 1", tab, n)
		}
	}
	stored, ok := known[events.Stored](w, piece(1))
	_, entries := w.head(table.Rows)
	if !ok || !reflect.DeepEqual(stored.Entry, entries["2001-01-05"]) {
		w.t.Errorf("stored says %+v, %t, the table's map %+v", stored.Entry, ok, entries)
	}
	want := map[string]events.Counts{"2001-01-04": {Read: 1, Stored: 1}, "2001-01-05": {Read: 8, Stored: 5, Quarantined: 2, Filtered: 1}}
	for day, counts := range want {
		got := stored.Entry.Sheet[day]
		got.Hash = ""
		if got != counts || stored.Entry.Sheet[day].Hash == "" {
			w.t.Errorf("the sheet of %s is %+v, want %+v and a hash", day, stored.Entry.Sheet[day], counts)
		}
	}
	e := stored.Entry
	if e.Generation != 1 || e.Slices != 3 || e.Reason != "schedule" || !reflect.DeepEqual(e.Reasons, map[string]int64{"type": 1, "range": 1}) ||
		!reflect.DeepEqual(e.Changed, []string{"2001-01-04", "2001-01-05"}) {
		w.t.Errorf("the entry is %+v", e)
	}
}

func TestOneSlice(t *testing.T) {
	w := newWorld(t)
	w.handle(w.store(), w.ingest(1, first)...)
	w.wantRows(table.Rows, "id date delay origin _event_time _collected_at _window _generation _slice _ordinal",
		"1 978652800000000 5 ABC 978652800000000 978760800000000 978652800000000 1 1 0",
		"2 978699600000000 null  978699600000000 978760800000000 978652800000000 1 1 1",
		"3 978703200000000 -7 null 978703200000000 978760800000000 978652800000000 1 1 2")
	w.wantRows(table.Quarantine, "original reason column detail event_day ordinal file offset contract _generation _slice",
		"90 type delay it is type 2001-01-05 3 a.csv 0 1.0.0 1 1")
	staged, _ := known[events.Staged](w, piece(1).At(1))
	packed, err := os.ReadFile(filepath.Join(w.dir, staged.Raw.Path))
	if err != nil || !strings.HasPrefix(staged.Raw.Path, "flights/raw/2001-01-05/1/000001-") {
		t.Fatalf("the archive is %s: %v", staged.Raw.Path, err)
	}
	if raw, err := block.DecodeRaw(nil, packed); err != nil || string(raw) != text(first) {
		t.Errorf("the archive holds %q, %v, want what was collected", raw, err)
	}
}

func TestSlicesInAnyOrderByTwoInstancesAtOnceEachEventTwice(t *testing.T) {
	for seed := range uint64(12) {
		w := newWorld(t)
		wake := w.ingest(1, first, second, third)
		r := rand.New(rand.NewPCG(seed, 1))
		var all sync.WaitGroup
		for range 2 {
			todo := append(append([]*events.Validated{}, wake...), wake...)
			r.Shuffle(len(todo), func(i, j int) { todo[i], todo[j] = todo[j], todo[i] })
			s := w.store()
			all.Go(func() {
				for _, ev := range todo {
					if err := s.Handle(t.Context(), ev); err != nil {
						t.Errorf("seed %d: Handle(%s) = %v", seed, ev.Key(), err)
					}
				}
			})
		}
		all.Wait()
		w.wantWhole()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func TestNothingIsVisibleBeforeTheLastSlice(t *testing.T) {
	w := newWorld(t)
	wake := w.ingest(1, first, second, third)
	w.handle(w.store(), wake[2], wake[0], wake[2])
	w.wantRows(table.Rows, "id")
	w.wantRows(table.Quarantine, "original")
	w.handle(w.store(), wake[1])
	w.wantWhole()
}

func TestAFactForOtherInputsStopsTheChain(t *testing.T) {
	for name, forge := range map[string]func(view *facts.View) events.Event{
		"collected from another pin":        edit(func(f *events.Collected) { f.Inputs = "x" }),
		"collected from another place":      edit(func(f *events.Collected) { f.From.Offset++ }),
		"collected of another pin":          edit(func(f *events.Collected) { f.Pin.Files = nil }),
		"collected not last":                edit(func(f *events.Collected) { f.Last = false }),
		"collected with other blocks":       edit(func(f *events.Collected) { f.Raw.Digest = "x" }),
		"collected with another header":     edit(func(f *events.Collected) { f.Header = "x" }),
		"processed from other inputs":       edit(func(f *events.Processed) { f.Inputs = "x" }),
		"processed with other rows":         edit(func(f *events.Processed) { f.Rows.Digest = "x" }),
		"processed with another sheet":      edit(func(f *events.Processed) { f.Sheet = events.Sheet{} }),
		"processed by another definition":   edit(func(f *events.Processed) { f.Definition = "d0" }),
		"validated from other inputs":       edit(func(f *events.Validated) { f.Inputs = "x" }),
		"validated by another definition":   edit(func(f *events.Validated) { f.Definition = "d0" }),
		"validated with other rows refused": edit(func(f *events.Validated) { f.Quarantine[0].Digest = "x" }),
		"staged from other inputs":          edit(func(f *events.Staged) { f.Inputs = "x" }),
		"staged by another definition":      edit(func(f *events.Staged) { f.Definition = "d0" }),
		"staged not as the last":            edit(func(f *events.Staged) { f.Last = false }),
	} {
		w := newWorld(t)
		wake := w.ingest(1, first, second)
		w.handle(w.store(), wake[1]) // slice 2 is staged; a forged fact of it must keep slice 1 from being committed
		view, err := w.journal.View(t.Context())
		w.must(err)
		w.must(w.journal.Say(t.Context(), forge(view)))
		w.handle(w.store(), wake[0])
		w.wantRows(table.Rows, "id")
		if _, ok := known[events.Stored](w, piece(1)); ok || w.snapshots(table.Rows)+w.snapshots(table.Quarantine) > 0 {
			t.Errorf("%s: the window was committed", name)
		}
	}
}

// edit makes a fact of slice 2 from the one there is.
func edit[T events.Event](change func(*T)) func(*facts.View) events.Event {
	return func(view *facts.View) events.Event {
		f, _ := facts.Get[T](view, piece(1).At(2))
		if v, ok := any(&f).(*events.Validated); ok {
			v.Quarantine = append([]events.Claim{}, v.Quarantine...)
		}
		change(&f)
		return f
	}
}

func TestASliceMustStartWhereTheOneBeforeEnds(t *testing.T) {
	for _, gap := range []int64{-1, 1} {
		w := newWorld(t)
		w.gap = gap
		w.handle(w.store(), w.ingest(1, first, second)...)
		if _, ok := known[events.Stored](w, piece(1)); ok {
			t.Errorf("slices with %d bytes between them were committed", gap)
		}
	}
}

func TestAForgedEventDoesNothing(t *testing.T) {
	w := newWorld(t)
	forged := &events.Validated{Piece: piece(1).At(1), Definition: "d1", Inputs: "x", Rows: events.Claim{Blocks: 1}}
	w.handle(w.store(), forged)
	for name, ev := range map[string]events.Event{
		"an event of another step":    &events.Collected{Piece: piece(1).At(1)},
		"a window that is none":       &events.Validated{Piece: events.Piece{Dataset: "flights", Window: "x", Generation: 1, Slice: 1}},
		"a dataset that is not there": &events.Validated{Piece: events.Piece{Dataset: "x", Window: "2001-01-05", Generation: 1, Slice: 1}},
	} {
		if err := w.store().Handle(t.Context(), ev); !errors.Is(err, events.ErrInvalid) {
			t.Errorf("%s: Handle = %v, want an error that wraps ErrInvalid", name, err)
		}
	}
	if said := w.journal.Said(); len(said) != 0 {
		t.Errorf("it said %v", said)
	}
}

func TestAbsentBlocksTakeTheFactBack(t *testing.T) {
	for topic, fact := range map[string]func(*world) bool{
		block.RawTopic("flights"):        func(w *world) bool { _, ok := known[events.Collected](w, piece(1).At(1)); return ok },
		block.CleanTopic("flights"):      func(w *world) bool { _, ok := known[events.Validated](w, piece(1).At(1)); return ok },
		block.QuarantineTopic("flights"): func(w *world) bool { _, ok := known[events.Validated](w, piece(1).At(1)); return ok },
	} {
		w := newWorld(t)
		wake := w.ingest(1, first)
		w.blocks.Drop(topic)
		if err := w.store().Handle(t.Context(), wake[0]); !errors.Is(err, block.ErrAbsent) || errors.Is(err, events.ErrInvalid) {
			t.Errorf("%s: Handle = %v, want an error that a retry may mend", topic, err)
		}
		if fact(w) {
			t.Errorf("%s: the fact that claims the absent blocks still stands", topic)
		}
		w.wantRows(table.Rows, "id")
		w.handle(w.store(), w.ingest(1, first)...)
		w.wantRows(table.Rows, shown, allRows[:3]...)
	}
}

func TestAMissingFileTakesTheStagedFactBack(t *testing.T) {
	for name, of := range map[string]func(events.Staged) events.File{
		"rows":       func(f events.Staged) events.File { return f.Rows[0] },
		"quarantine": func(f events.Staged) events.File { return f.Quarantine[0] },
		"keys":       func(f events.Staged) events.File { return f.Keys[0] },
	} {
		w := newWorld(t)
		w.d.Key = []string{"id"}
		wake := w.ingest(1, first, second, third)
		w.handle(w.store(), wake[:2]...)
		staged, _ := known[events.Staged](w, piece(1).At(1))
		w.must(os.Remove(filepath.Join(w.dir, of(staged).Path)))
		if err := w.store().Handle(t.Context(), wake[2]); err == nil || errors.Is(err, events.ErrInvalid) {
			t.Errorf("%s: Handle = %v, want an error that a retry may mend", name, err)
		}
		if _, ok := known[events.Staged](w, piece(1).At(1)); ok {
			t.Errorf("%s: the fact whose file is gone still stands", name)
		}
		if _, ok := known[events.Staged](w, piece(1).At(2)); !ok {
			t.Errorf("%s: a fact whose files are there was taken back", name)
		}
		w.handle(w.store(), wake[0])
		w.wantWhole()
	}
}

func TestGenerationTwoReplacesOneWhole(t *testing.T) {
	w := newWorld(t)
	w.handle(w.store(), w.ingest(1, first, second, third)...)
	restated := append([]row{}, first...)
	restated[2].delay = 8
	w.handle(w.store(), w.ingest(2, restated, second)...)
	w.wantRows(table.Rows, shown, "1 5 ABC 2 1 0", "2 null  2 1 1", "3 8 null 2 1 2", "4 0 a name longer than eight 2 2 0", "5 1 X 2 2 1")
	w.wantRows(table.Quarantine, "original _generation", "90 2")
	stored, _ := known[events.Stored](w, piece(2))
	if got := stored.Entry.Changed; !reflect.DeepEqual(got, []string{"2001-01-05"}) {
		t.Errorf("changed days are %v, want 2001-01-05 alone", got)
	}
	if stored.Entry.Generation != 2 || w.snapshots(table.Rows) != 2 {
		t.Errorf("stored is %+v at %d snapshots", stored, w.snapshots(table.Rows))
	}
}

func TestAStaleGenerationChangesNothing(t *testing.T) {
	w := newWorld(t)
	stale := w.ingest(1, first, second)
	w.handle(w.store(), stale[0])
	w.handle(w.store(), w.ingest(2, third)...)
	before := len(w.journal.Said())
	w.handle(w.store(), stale...)
	if said := w.journal.Said()[before:]; len(said) != 0 {
		t.Errorf("a stale generation said %v", said)
	}
	// The same when no fact tells of the newer one: what the table holds is said.
	stored, _ := known[events.Stored](w, piece(2))
	w.must(w.journal.Retract(t.Context(), stored))
	w.handle(w.store(), stale...)
	w.wantRows(table.Rows, "id _generation", "6 2")
	w.wantRows(table.Quarantine, "original _generation", "92 2")
	if again, ok := known[events.Stored](w, piece(2)); !ok || !reflect.DeepEqual(again, stored) {
		t.Errorf("said %+v of the newer generation, want %+v", again, stored)
	}
	if _, ok := known[events.Stored](w, piece(1)); ok {
		t.Error("the stale generation is said to be stored")
	}
}

func TestADefinitionChangesBetweenSteps(t *testing.T) {
	w := newWorld(t)
	wake := w.ingest(1, first, second)
	w.handle(w.store(), wake[0])
	w.d.Definition = "d2"
	w.handle(w.store(), wake...)
	w.wantRows(table.Rows, "id")
	if _, ok := known[events.Staged](w, piece(1).At(2)); ok {
		t.Error("rows of the definition before were staged")
	}
	w.handle(w.store(), w.ingest(1, first, second)...)
	w.wantRows(table.Rows, "id", "1", "2", "3", "4", "5")
	if stored, _ := known[events.Stored](w, piece(1)); stored.Entry.Definition != "d2" {
		t.Errorf("stored by definition %q, want d2", stored.Entry.Definition)
	}
}

func TestADefinitionChangesBetweenTheTwoCommits(t *testing.T) {
	w := newWorld(t)
	s := w.store()
	s.Tables = &failing{faults: &faults{at: 1, match: "replace rows"}, tables: w.lake}
	wake := w.ingest(1, first)
	if err := s.Handle(t.Context(), wake[0]); err == nil {
		t.Fatal("the commit of the rows did not fail")
	}
	w.wantRows(table.Quarantine, "original", "90")
	w.d.Definition = "d2"
	w.handle(w.store(), w.ingest(1, first[:2], third)...)
	w.wantRows(table.Rows, "id", "1", "2", "6")
	w.wantRows(table.Quarantine, "original", "92")
}

func TestADefinitionChangesBetweenCommitAndFact(t *testing.T) {
	w := newWorld(t)
	w.handle(w.store(), w.ingest(1, first)...)
	stored, _ := known[events.Stored](w, piece(1))
	w.must(w.journal.Retract(t.Context(), stored))
	w.d.Definition = "d2"
	w.handle(w.store(), w.ingest(1, third)...)
	w.wantRows(table.Rows, "id", "1", "2", "3")
	w.wantRows(table.Quarantine, "original", "90")
	if again, _ := known[events.Stored](w, piece(1)); !reflect.DeepEqual(again, stored) {
		t.Errorf("said %+v, want what the table holds: %+v", again, stored)
	}
}

func TestASlowerTryOfAnotherDefinitionLeavesNoQuarantineOfItsOwn(t *testing.T) {
	w := newWorld(t)
	s := w.store()
	wake := w.ingest(1, first)
	s.Tables = &before{Tables: s.Tables, name: table.Rows, do: func() {
		// Another instance, which still has the definition before, commits its quarantine just before our rows.
		theirs, err := json.Marshal(events.Entry{Generation: 1, Digest: "other"})
		w.must(err)
		_, err = w.store().Tables.Replace(t.Context(), table.Replace{
			Table: table.Name{Dataset: "flights", Table: table.Quarantine}, Schema: layout.Quarantine(),
			Windows: []table.Content{{Window: mustWindow(w), Entry: theirs}},
		})
		w.must(err)
	}}
	w.handle(s, wake...)
	w.wantRows(table.Rows, "id", "1", "2", "3")
	w.wantRows(table.Quarantine, "original", "90")
}

func TestAnEmptyWindow(t *testing.T) {
	for name, source := range map[string][][]row{
		"no record at all": {{}}, "all refused": {{{id: 1, at: "01-05 00:00", refused: "type"}}}, "an empty slice before another": {{}, {}},
	} {
		w := newWorld(t)
		w.d.Key = []string{"id"}
		w.handle(w.store(), w.ingest(1, source...)...)
		w.wantRows(table.Rows, "id")
		stored, ok := known[events.Stored](w, piece(1))
		if !ok || stored.Entry.Sheet.Total().Stored != 0 || len(stored.Entry.Changed) != 0 || w.snapshots(table.Rows) != 1 {
			t.Errorf("%s: stored is %+v, %t, at %d snapshots", name, stored, ok, w.snapshots(table.Rows))
		}
		w.handle(w.store(), w.ingest(2, third)...)
		w.wantRows(table.Rows, "id", "6")
		w.handle(w.store(), w.ingest(3, source...)...)
		w.wantRows(table.Rows, "id")
	}
}
