package calendar

import (
	"testing"
	"time"

	"github.com/almanac-data/almanac/events"
)

// Windows that are stored together wake the calendar one by one; it looks once, and again when another ends, or at a tick.
func TestEventsWithoutNewsAreNotSurveyed(t *testing.T) {
	s := tell(t)
	looks := 0
	c := &Calendar{Journal: s.m, Datasets: catalog{flights()}, Tables: tables{}, Pace: pace, Wall: func() time.Time { return noon },
		Now: func() time.Time { looks++; return start.Add(3 * dayLong) }}
	first, second := stored(piece("2001-01-01", 1), "d1", "a"), stored(piece("2001-01-02", 1), "d1", "b")
	s.ago(0, first, second)
	wake := func(ev events.Event, want int) {
		t.Helper()
		before := looks
		if err := c.Handle(t.Context(), ev); err != nil {
			t.Fatal(err)
		}
		if got := looks - before; got != want {
			t.Errorf("looked %d times, want %d", got, want)
		}
	}
	wake(&first, 1)
	wake(&second, 0)
	wake(&second, 0)
	third := stored(piece("2001-01-03", 1), "d1", "c")
	s.ago(0, third)
	wake(&third, 1)
	wake(&third, 0)
	if err := s.m.Retract(t.Context(), third); err != nil {
		t.Fatal(err)
	}
	wake(&third, 1)
}

func TestNothingIsDueOfAWithdrawnDataset(t *testing.T) {
	d := flights()
	s := tell(t)
	s.ago(dayLong, due(today, 1, 1, "schedule"), chainOf(piece(today, 1), "d1", "a").collected[0]) // stuck for longer than the grace
	c := &Calendar{Journal: s.m, Datasets: catalog{d}, Tables: tables{"flights": {}}, Pace: pace, Wall: func() time.Time { return noon },
		Now: func() time.Time { return start.Add(3 * dayLong) }}
	said := func() int {
		before := len(s.m.Said())
		if err := c.Handle(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		return len(s.m.Said()) - before
	}
	d.Withdrawn = true
	if n := said(); n != 0 {
		t.Errorf("%d events are said of a withdrawn dataset, want none", n)
	}
	d.Withdrawn = false
	if n := said(); n != 2 {
		t.Errorf("%d events are said once it is back, want those of 2 windows", n)
	}
}
