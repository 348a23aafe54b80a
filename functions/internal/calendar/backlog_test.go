package calendar

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/backlog"
	"github.com/almanac-data/almanac/functions/internal/facts/factstest"
)

// board keeps what was shown last.
type board map[string]backlog.Backlog

func (b board) Surveyed(dataset string, found backlog.Backlog) { b[dataset] = found }
func (b board) Withdrawn(dataset string)                       { delete(b, dataset) }
func (b board) DeadLetter(string)                              {}

var rows = backlog.Work{Step: events.StepCollect}

func TestABacklogSaysWhatIsLateAndWhatHasStopped(t *testing.T) {
	d := flights()
	s := tell(t)
	s.ago(time.Hour, due("2001-01-01", 1, 1, reasonSchedule), stored(piece("2001-01-01", 1), "d1", "a"))
	s.ago(time.Minute, due("2001-01-02", 1, 1, reasonSchedule))
	s.ago(time.Minute, due("2001-01-03", 1, 1, reasonSchedule),
		events.Stopped{Piece: piece("2001-01-03", 1), Step: "store", Definition: "d1", Reason: "unbalanced", Detail: "x"})
	b := board{}
	// Days are due 6 hours after their end, so by 9 o'clock of the fifth the fourth is.
	now := start.Add(4*dayLong + 9*time.Hour)
	c := &Calendar{Journal: s.m, Datasets: catalog{d}, Tables: tables{"flights": {}}, Now: func() time.Time { return now }, Wall: func() time.Time { return noon },
		Pace: pace, Backlogs: b}
	if err := c.Handle(t.Context(), events.Stored{Piece: piece("2001-01-01", 1)}); err != nil {
		t.Fatal(err)
	}
	want := backlog.Backlog{At: noon, Works: map[backlog.Work]backlog.Standing{
		rows: {
			Phases: map[string]int{"stored": 1, "collecting": 1, "stopped": 1, "due": 1}, Stopped: map[string]int{"unbalanced": 1},
			Overdue: 2*dayLong + 3*time.Hour, // the second, since 6 o'clock of the third
		},
		{Step: events.StepAggregate, Name: "weekly"}: {Phases: map[string]int{}, Stopped: map[string]int{}},
		{Step: events.StepDeliver, Name: "training"}: {Phases: map[string]int{}, Stopped: map[string]int{}},
	}}
	if diff := cmp.Diff(want, b["flights"]); diff != "" {
		t.Error(diff)
	}
	d.Withdrawn = true
	if err := c.Handle(t.Context(), events.Stored{Piece: piece("2001-01-01", 1)}); err != nil || len(b) != 0 {
		t.Errorf("of a dataset that is withdrawn %v is shown, %v", b, err)
	}
}

func TestABlockedQueryIsNotLate(t *testing.T) {
	d := flights()
	s := tell(t)
	states := Survey(d, s.view(), start.Add(10*dayLong), noon, pace)
	b := tally(d, states, nil, start.Add(10*dayLong), noon)
	weekly := b.Works[backlog.Work{Step: events.StepAggregate, Name: "weekly"}]
	if weekly.Phases[string(Blocked)] != 1 || weekly.Overdue != 0 {
		t.Errorf("an aggregate whose days are missing is %+v", weekly)
	}
	if b.Works[rows].Overdue != 8*dayLong+18*time.Hour {
		t.Errorf("its days are late by %s", b.Works[rows].Overdue)
	}
}

func TestWhatIsAnnouncedInVainGetsStuck(t *testing.T) {
	d := flights()
	d.Collect.End = start.Add(dayLong)
	s := tell(t)
	first := chainOf(piece(today, 1), "d1", "a")
	s.ago(0, due(today, 1, 1, reasonSchedule), first.collected[0])
	b := board{}
	c := &Calendar{Journal: s.m, Datasets: catalog{d}, Tables: tables{"flights": {}}, Now: func() time.Time { return start.Add(2 * dayLong) },
		Wall: func() time.Time { return s.m.Now }, Pace: pace, Backlogs: b}
	tick := func(after time.Duration, want int) {
		t.Helper()
		s.m.Now = s.m.Now.Add(after)
		if err := c.Handle(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if got := b["flights"].Works[rows].Stuck; got != want {
			t.Fatalf("at %s %d windows are stuck, want %d", s.m.Now.Format(time.TimeOnly), got, want)
		}
	}
	tick(time.Minute, 0)
	for range 2 {
		tick(11*time.Minute, 0) // announced again
		tick(time.Minute, 0)    // within the grace
	}
	tick(11*time.Minute, 1)
	tick(time.Minute, 1)
	// The slice goes on: it waits for the next step now.
	if err := s.m.Say(t.Context(), first.processed[0]); err != nil {
		t.Fatal(err)
	}
	tick(time.Minute, 0)
	tick(11*time.Minute, 0)
}

// deaf is a journal that can be read only.
type deaf struct{ *factstest.Memory }

func (deaf) Say(context.Context, ...events.Event) error { return errors.New("broker away") }

func TestWhatCouldNotBeSaidIsNotShown(t *testing.T) {
	s := tell(t)
	b := board{}
	c := &Calendar{Journal: deaf{s.m}, Datasets: catalog{flights()}, Tables: tables{"flights": {}}, Now: func() time.Time { return start.Add(2 * dayLong) },
		Wall: func() time.Time { return noon }, Pace: pace, Backlogs: b}
	if err := c.Handle(t.Context(), events.Stored{Piece: piece(today, 1)}); err == nil || len(b) != 0 {
		t.Errorf("it shows %v, %v", b, err)
	}
}
