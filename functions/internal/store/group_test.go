package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/table"
	"github.com/almanac-data/almanac/functions/internal/window"
)

var days = []string{"2001-01-05", "2001-01-06", "2001-01-07", "2001-01-08"}

// ingestDays ingests a row for each of the days, whose id is its place among them.
func (w *world) ingestDays() (wake []*events.Validated) {
	w.t.Helper()
	for i, day := range days {
		w.day = day
		wake = append(wake, w.ingest(1, []row{{id: int64(i), at: day[5:] + " 08:00", delay: int64(1), origin: "ATL"}})...)
	}
	return wake
}

// atOnce wakes an instance for every event at the same time.
func atOnce(t *testing.T, s *Store, wake []*events.Validated) []error {
	t.Helper()
	errs := make([]error, len(wake))
	var all sync.WaitGroup
	for i, ev := range wake {
		all.Go(func() { errs[i] = s.Handle(t.Context(), ev) })
	}
	all.Wait()
	return errs
}

func TestWindowsThatWaitAreCommittedTogether(t *testing.T) {
	w := newWorld(t)
	s := w.store()
	s.Linger, s.AtOnce = time.Minute, 1
	wake := w.ingestDays()
	for i, err := range atOnce(t, s, append(wake, wake...)) {
		if err != nil {
			t.Errorf("Handle %d = %v", i, err)
		}
	}
	w.wantRows(table.Rows, "id", "0", "1", "2", "3")
	if n := w.snapshots(table.Rows); n >= len(days) {
		t.Errorf("%d windows took %d commits", len(days), n)
	}
	_, entries := w.head(table.Rows)
	for _, ev := range wake {
		stored, ok := known[events.Stored](w, ev.Whole())
		if !ok || stored.Entry.Digest != entries[ev.Window].Digest || stored.Snapshot == 0 || len(stored.Entry.Changed) != 1 {
			t.Errorf("stored of %s is %+v, %t; the table holds %+v", ev.Window, stored, ok, entries[ev.Window])
		}
	}
}

func TestAWindowThatCannotBeCommittedHoldsUpNoOther(t *testing.T) {
	w := newWorld(t)
	wake := w.ingestDays()
	broken := w.store()
	broken.Tables = &before{Tables: broken.Tables, name: table.Rows, do: func() { t.Error("committed before all were staged") }}
	for _, ev := range wake { // stage only
		view, err := w.journal.View(t.Context())
		w.must(err)
		win, err := window.Parse(ev.Window)
		w.must(err)
		w.must(broken.stage(t.Context(), view, w.d, win, ev.Piece))
	}
	lost, _ := known[events.Staged](w, wake[1].Piece)
	w.must(os.Remove(filepath.Join(w.dir, lost.Rows[0].Path)))
	s := w.store()
	s.Linger = time.Minute
	for i, err := range atOnce(t, s, wake) {
		if (i == 1) != errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Handle %d = %v", i, err)
		}
	}
	w.wantRows(table.Rows, "id", "0", "2", "3")
	if _, ok := known[events.Staged](w, wake[1].Piece); ok {
		t.Error("the fact of the lost file was not taken back")
	}
	w.handle(s, wake[1])
	w.wantRows(table.Rows, "id", "0", "1", "2", "3")
}

func TestAllThatWaitForOneWindowAreToldThatItFailed(t *testing.T) {
	w := newWorld(t)
	w.d.Key = []string{"id"}
	wake := w.ingestDays()[0]
	s := w.store()
	view, err := w.journal.View(t.Context())
	w.must(err)
	win, err := window.Parse(wake.Window)
	w.must(err)
	w.must(s.stage(t.Context(), view, w.d, win, wake.Piece))
	staged, _ := known[events.Staged](w, wake.Piece)
	w.must(os.Remove(filepath.Join(w.dir, staged.Keys[0].Path)))
	waiting := make([]*waiter, 3)
	for i := range waiting {
		waiting[i] = &waiter{piece: wake.Whole(), w: win, done: make(chan struct{})}
	}
	s.commitAll(t.Context(), w.d, waiting)
	for i, waiter := range waiting {
		if !errors.Is(waiter.err, fs.ErrNotExist) {
			t.Errorf("waiter %d is told %v", i, waiter.err)
		}
	}
}

func TestACommitWaitsNoLongerThanItsLinger(t *testing.T) {
	w := newWorld(t)
	s := w.store()
	s.Linger = time.Millisecond
	wake := w.ingestDays()
	w.handle(s, wake[0]) // the others never come
	w.wantRows(table.Rows, "id", "0")
}

func TestAPanicOfACommitFailsAllThatWaitAndHoldsUpNobodyAfterwards(t *testing.T) {
	w := newWorld(t)
	s := w.store()
	s.Linger = time.Minute
	wake := w.ingestDays()[:2]
	s.Tables = &before{Tables: s.Tables, name: table.Rows, do: func() { panic("oops") }}
	errs := make([]error, len(wake))
	var all sync.WaitGroup
	for i, ev := range wake {
		all.Go(func() {
			defer func() {
				if v := recover(); v != nil {
					errs[i] = errors.New("panicked")
				}
			}()
			errs[i] = s.Handle(t.Context(), ev)
		})
	}
	all.Wait()
	for i, err := range errs {
		if err == nil {
			t.Errorf("Handle %d gave no error", i)
		}
	}
	w.handle(w.store(), wake...)
	w.wantRows(table.Rows, "id", "0", "1")
	w.handle(s, wake...)
}

func TestWhoGivesUpWaitingIsCommittedAllTheSame(t *testing.T) {
	w := newWorld(t)
	s := w.store()
	wake := w.ingestDays()
	g := s.groups.of("flights")
	g.turn <- struct{}{} // somebody commits
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Handle(ctx, wake[0]) }()
	for g.size() == 0 { // Handle stages first
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Handle = %v, want the end of its context", err)
	}
	<-g.turn
	w.handle(s, wake[1])
	w.wantRows(table.Rows, "id", "0", "1")
}
