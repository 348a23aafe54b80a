package collect

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// first collects the first slice only.
func (w *world) first() {
	w.t.Helper()
	w.collect.Journal = &deaf{w.journal, 1}
	if err := w.collect.Handle(ctx, due(1, "schedule")); !errors.Is(err, errDead) {
		w.t.Fatalf("Handle error = %v, want %v", err, errDead)
	}
	w.collect.Journal = w.journal
}

func (w *world) touch(name string) {
	w.t.Helper()
	info, err := os.Stat(w.path(name))
	if err != nil {
		w.t.Fatal(err)
	}
	at := info.ModTime().Add(-time.Hour)
	if err := os.Chtimes(w.path(name), at, at); err != nil {
		w.t.Fatal(err)
	}
}

func TestAChangedSourceGivesTheGenerationUp(t *testing.T) {
	other := strings.Replace(lines(30), "ABC", "XYZ", 1)
	tests := map[string]func(w *world){
		"between slices":                 func(w *world) { w.put("in.csv", other) },
		"between slices, by a file more": func(w *world) { w.put("in.csv.2", "a\n") },
		"in a slice":                     func(w *world) { w.source.opened = func() { w.put("in.csv", other) } },
		"in a slice, so that it cannot be read": func(w *world) {
			w.source.opened = func() { w.put("in.csv", "") }
		},
		"behind its back": func(w *world) { // content other, version the same: only the digest tells
			w.source.Sources = blind{w.source.Sources, mustVersions(w)}
			w.put("in.csv", other)
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "in.csv*", map[string]string{"in.csv": lines(30)})
			w.first()
			change(w)
			w.handle(due(1, "schedule"))
			restated := last[events.Restated](w)
			if restated.Piece != due(1, "").Piece || len(restated.Pin.Files) == 0 || restated.Pin.Content() == w.slices(1)[0].Pin.Content() {
				t.Errorf("said %+v, want generation 1 restated with the new pin", restated)
			}
			for _, f := range w.slices(1) {
				if f.Last {
					t.Error("the generation has a last slice, want none")
				}
			}
			w.source.opened = nil
			said := len(w.journal.Said())
			w.handle(due(1, "schedule"))
			if len(w.journal.Said()) != said {
				t.Errorf("then said %+v, want nothing", w.journal.Said()[said:])
			}
			if name == "behind its back" {
				return
			}
			w.handle(due(2, "restated"))
			if got := w.slices(2); !got[len(got)-1].Last || got[0].Reason != "restated" || got[0].Pin.Content() != restated.Pin.Content() {
				t.Errorf("generation 2 = %+v, want it whole, of the new pin", got)
			}
		})
	}
}

// blind tells the versions of long ago.
type blind struct {
	Sources

	pin events.Pin
}

func (b blind) Versions(context.Context, *dataset.Dataset, window.Window) (events.Pin, error) {
	return b.pin, nil
}

func mustVersions(w *world) events.Pin { return w.slices(1)[0].Pin }

func TestATouchedSourceIsReadOn(t *testing.T) {
	w := newWorld(t, "in.csv", map[string]string{"in.csv": lines(30)})
	w.first()
	w.touch("in.csv")
	n := 0
	w.source.opened = func() {
		if n++; n == 1 {
			w.touch("in.csv")
		}
	}
	w.handle(due(1, "schedule"))
	w.collected(1, lines(30))
}

func TestAFileThatIsReplacedInTheFirstSliceIsReadAnew(t *testing.T) {
	w := newWorld(t, "in.csv", map[string]string{"in.csv": "a\n1\n"})
	n := 0
	w.source.opened = func() {
		if n++; n == 1 {
			w.put("in.csv", "a\n22\n")
		}
	}
	w.handle(due(1, "schedule"))
	w.collected(1, "a\n22\n")

	w = newWorld(t, "in.csv", map[string]string{"in.csv": "a\n1\n"})
	w.source.opened = func() { n++; w.put("in.csv", strings.Repeat("a\n", n)) }
	if err := w.collect.Handle(ctx, due(1, "schedule")); err == nil || errors.Is(err, events.ErrInvalid) || !strings.Contains(err.Error(), "changes while it is read") {
		t.Errorf("Handle of a file that never rests: %v, want an error that a retry can help", err)
	}
}

func gzipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.String()
}

func TestASourceAtFaultStopsTheWindow(t *testing.T) {
	good := gzipped(lines(30))
	tests := map[string]struct {
		files   map[string]string
		reason  string
		waiting bool
		says    []string
		mend    map[string]string
	}{
		"missing":               {nil, "source_missing", true, []string{"in*", "put the file"}, map[string]string{"in.csv": good}},
		"truncated":             {map[string]string{"in.csv": good[:len(good)/2]}, "source_invalid", false, []string{"in.csv", "truncated", "fetch it again"}, map[string]string{"in.csv": good}},
		"the same file twice":   {map[string]string{"in1.csv": good, "in2.csv": good}, "source_invalid", false, []string{"in1.csv", "in2.csv", "twice"}, map[string]string{"in1.csv": gzipped("")}},
		"an endless header":     {map[string]string{"in.csv": strings.Repeat("x", 100<<10)}, "source_invalid", false, []string{"in.csv", "header"}, map[string]string{"in.csv": good}},
		"a folder of that name": {map[string]string{"in/x": ""}, "source_invalid", false, []string{"in", "directory"}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "in*", tt.files)
			w.collect.BlockBytes, w.collect.SliceBytes = 100<<10, 1<<20
			d := due(1, "schedule")
			d.Attempt = 3
			w.handle(d)
			stop := last[events.Stopped](w)
			if stop.Reason != tt.reason || stop.Waiting != tt.waiting || stop.Attempt != 3 || stop.Step != "collect" || stop.Definition != "d1" || stop.Piece != d.Piece {
				t.Fatalf("said %+v, want %s, waiting %v", stop, tt.reason, tt.waiting)
			}
			for _, say := range tt.says {
				if !strings.Contains(stop.Detail, say) {
					t.Errorf("detail is %q, want it to name %q", stop.Detail, say)
				}
			}
			if tt.mend == nil {
				return
			}
			for name, content := range tt.mend {
				w.put(name, content)
			}
			again, reason := due(1, "schedule"), "schedule"
			if !tt.waiting {
				again.Reason = "probe" // what stopped for a person is only looked at again
			}
			w.handle(again)
			if got := w.slices(1); len(got) == 0 || !got[len(got)-1].Last || got[0].Reason != reason {
				t.Errorf("after it was mended: %+v, want it collected", got)
			}
			if stop, ok := facts.Get[events.Stopped](w.view(), d.Piece); ok {
				t.Errorf("still says %+v", stop)
			}
		})
	}
}

func TestASourceThatFailsForNowIsTriedAgain(t *testing.T) {
	w := newWorld(t, "in.csv", map[string]string{"in.csv": lines(30)})
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	if err := w.collect.Handle(stopped, due(1, "schedule")); !errors.Is(err, context.Canceled) {
		t.Errorf("Handle error = %v, want %v", err, context.Canceled)
	}
	w.first()
	if err := os.Remove(w.path("in.csv")); err != nil {
		t.Fatal(err)
	}
	w.handle(due(1, "schedule"))
	if stop := last[events.Stopped](w); stop.Reason != "source_missing" || !stop.Waiting {
		t.Errorf("said %+v, want that it waits for the file", stop)
	}
	w.put("in.csv", lines(30))
	w.handle(due(1, "schedule"))
	w.collected(1, lines(30))
	if err := gone(fs.ErrPermission); err == nil {
		t.Error("a source that cannot be read passed for one that is gone")
	}
}

func TestProbe(t *testing.T) {
	type change = func(w *world)
	tests := map[string]struct {
		change   change
		restated bool
	}{
		"nothing changed":       {func(*world) {}, false},
		"touched":               {func(w *world) { w.touch("in.a") }, false},
		"changed":               {func(w *world) { w.put("in.a", lines(4)) }, true},
		"a file more":           {func(w *world) { w.put("in.c", lines(4)) }, true},
		"a file gone":           {func(w *world) { _ = os.Remove(w.path("in.a")) }, false},
		"all files gone":        {func(w *world) { _ = os.Remove(w.path("in.a")); _ = os.Remove(w.path("in.b")) }, false},
		"one gone, one more":    {func(w *world) { _ = os.Rename(w.path("in.a"), w.path("in.c")) }, true},
		"one gone, one touched": {func(w *world) { _ = os.Remove(w.path("in.a")); w.touch("in.b") }, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "in.*", map[string]string{"in.a": lines(2), "in.b": lines(3)})
			w.handle(due(1, "schedule"))
			w.store(1)
			said := len(w.journal.Said())
			tt.change(w)
			w.handle(due(1, "probe"))
			w.handle(due(1, "probe"))
			more := w.journal.Said()[said:]
			if !tt.restated {
				if len(more) > 0 {
					t.Errorf("said %+v, want nothing", more)
				}
				return
			}
			if restated := last[events.Restated](w); len(more) != 1 || restated.Piece != due(1, "").Piece {
				t.Errorf("said %+v, want generation 1 restated, once", more)
			}
		})
	}
}

func TestProbeOfAWindowThatStopped(t *testing.T) {
	w := newWorld(t, "in.*", map[string]string{"in.a": lines(2), "in.b": lines(3)})
	w.handle(due(1, "schedule"))
	stop := events.Stopped{Piece: due(1, "").Piece, Step: "store", Reason: "reject_budget"}
	if err := w.journal.Say(ctx, stop); err != nil {
		t.Fatal(err)
	}
	w.handle(due(1, "probe"))
	last[events.Stopped](w)
	if err := os.Remove(w.path("in.b")); err != nil { // the bad file is taken away
		t.Fatal(err)
	}
	w.handle(due(1, "probe"))
	last[events.Restated](w)
	w.handle(due(2, "restated"))
	w.collected(2, lines(2))
}
