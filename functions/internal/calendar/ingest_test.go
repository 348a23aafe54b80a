package calendar

import (
	"testing"
	"time"

	"github.com/almanac-data/almanac/events"
)

// TestAWindow tells what was said of one window, and how long ago, and what the calendar makes of it at noon.
func TestAWindow(t *testing.T) {
	one := chainOf(piece(today, 1), "d1", "a")
	old := chainOf(piece(today, 1), "d0", "a")
	other := chainOf(piece(today, 1), "d1", "b")
	two := chainOf(piece(today, 2), "d1", "b")
	asked := due(today, 1, 1, "schedule")
	const long, short = 10 * time.Minute, 10*time.Minute - time.Nanosecond
	missing := events.Stopped{Piece: piece(today, 1), Step: "collect", Definition: "d1", Waiting: true, Reason: "source_missing", Detail: "no file"}
	budget := events.Stopped{Piece: piece(today, 1), Step: "store", Definition: "d1", Reason: "reject_budget", Detail: "too many"}
	whole := func(s *story, c chain, ago time.Duration) *story {
		for i := range 2 {
			s.ago(ago, c.collected[i], c.processed[i], c.validated[i], c.staged[i])
		}
		return s
	}
	tests := map[string]struct {
		said  func(s *story)
		pace  func(*Pace)
		phase Phase
		slice int
		say   []string
	}{
		"nothing was said": {func(*story) {}, nil, Due, 0, []string{"due 2001-01-01/1/0 collect 1 schedule"}},
		"just asked for":   {func(s *story) { s.ago(short, asked) }, nil, Collecting, 1, nil},
		"asked for, and nothing came within the grace": {
			func(s *story) { s.ago(long, asked) }, nil, Collecting, 1, []string{"due 2001-01-01/1/0 collect 2 schedule"}},
		"asked for the third time": {
			func(s *story) { s.ago(long, due(today, 1, 3, "schedule")) }, nil, Collecting, 1, []string{"due 2001-01-01/1/0 collect 4 schedule"}},
		"the first slice is collected": {
			func(s *story) { s.ago(long, asked).ago(short, one.collected[0]) }, nil, Processing, 1, nil},
		"the first slice is not processed": {
			func(s *story) { s.ago(long, asked, one.collected[0]) }, nil, Processing, 1, []string{"collected 2001-01-01/1/1"}},
		"the first slice is processed from other bytes": {
			func(s *story) { s.ago(long, asked, one.collected[0]).ago(0, other.processed[0]) }, nil, Processing, 1, []string{"collected 2001-01-01/1/1"}},
		"the first slice is processed by the definition before": {
			func(s *story) { s.ago(long, asked, one.collected[0]).ago(0, old.processed[0]) }, nil, Processing, 1, []string{"collected 2001-01-01/1/1"}},
		"the first slice is processed": {
			func(s *story) { s.ago(long, asked, one.collected[0]).ago(short, one.processed[0]) }, nil, Validating, 1, nil},
		"the first slice is not validated": {
			func(s *story) { s.ago(long, asked, one.collected[0], one.processed[0]) }, nil, Validating, 1, []string{"processed 2001-01-01/1/1"}},
		"the first slice is validated from other rows": {
			func(s *story) { s.ago(long, asked, one.collected[0], one.processed[0]).ago(0, other.validated[0]) }, nil, Validating, 1, []string{"processed 2001-01-01/1/1"}},
		"the first slice is validated by the definition before": {
			func(s *story) {
				s.ago(long, asked, one.collected[0], one.processed[0]).ago(0, events.Validated{Piece: piece(today, 1).At(1), Definition: "d0", Inputs: one.processed[0].Digest()})
			}, nil, Validating, 1, []string{"processed 2001-01-01/1/1"}},
		"the first slice is not staged": {
			func(s *story) { s.ago(long, asked, one.collected[0], one.processed[0], one.validated[0]) }, nil, Storing, 1, []string{"validated 2001-01-01/1/1"}},
		"the first slice is staged from other rows": {
			func(s *story) {
				s.ago(long, asked, one.collected[0], one.processed[0], one.validated[0]).ago(0, other.staged[0])
			}, nil, Storing, 1, []string{"validated 2001-01-01/1/1"}},
		"the second slice is not collected yet": {
			func(s *story) {
				s.ago(long, asked, one.processed[0], one.validated[0], one.staged[0]).ago(short, one.collected[0])
			}, nil, Collecting, 2, nil},
		"the second slice does not come": {
			func(s *story) {
				s.ago(long, asked, one.collected[0], one.processed[0], one.validated[0], one.staged[0])
			}, nil, Collecting, 2,
			[]string{"due 2001-01-01/1/0 collect 2 schedule"}},
		"the second slice is of another pin than the first": {
			func(s *story) { whole(s.ago(long, asked), one, long).ago(long-time.Minute, other.collected[1]) }, nil, Collecting, 2,
			[]string{"due 2001-01-01/1/0 collect 2 schedule"}},
		"the second slice is of another pin, and is asked for": {
			func(s *story) {
				whole(s, one, long).ago(2*time.Minute, other.collected[1]).ago(time.Minute, due(today, 1, 2, "schedule"))
			}, nil, Collecting, 2, nil},
		"collected by the definition before": {
			func(s *story) { whole(s.ago(short, asked), old, short) }, nil, Collecting, 1, []string{"due 2001-01-01/1/0 collect 2 schedule"}},
		"collected by the definition before, and asked for again": {
			func(s *story) { whole(s, old, short).ago(time.Minute, due(today, 1, 2, "schedule")) }, nil, Collecting, 1, nil},
		"all is staged": {func(s *story) { whole(s.ago(long, asked), one, short) }, nil, Storing, 2, nil},
		"all is staged, and not stored": {
			func(s *story) { whole(s.ago(long, asked), one, long) }, nil, Storing, 2, []string{"validated 2001-01-01/1/2"}},
		"stored": {func(s *story) { whole(s.ago(long, asked), one, long).ago(long, stored(piece(today, 1), "d1", "a")) }, nil, Stored, 0, nil},
		"stored, though no fact tells how": {
			func(s *story) { s.ago(1000*time.Hour, stored(piece(today, 1), "d1", "a")) }, nil, Stored, 0, nil},
		"stored, and never looked at since": {
			func(s *story) { s.ago(30*time.Hour, asked).ago(29*time.Hour, stored(piece(today, 1), "d1", "a")) },
			func(p *Pace) { p.Recheck = dayLong }, Stored, 0, []string{"due 2001-01-01/1/0 collect 2 probe"}},
		"stored, and looked at within a day": {
			func(s *story) {
				s.ago(30*time.Hour, asked, stored(piece(today, 1), "d1", "a")).ago(23*time.Hour, due(today, 1, 2, "probe"))
			}, func(p *Pace) { p.Recheck = dayLong }, Stored, 0, nil},
		"stored before the run began": {
			func(s *story) { s.ago(2*time.Hour, asked, stored(piece(today, 1), "d1", "a")) },
			func(p *Pace) { p.ProbeBefore = noon.Add(-time.Hour) }, Stored, 0, []string{"due 2001-01-01/1/0 collect 2 probe"}},
		"stored, and looked at since the run began": {
			func(s *story) {
				s.ago(2*time.Hour, stored(piece(today, 1), "d1", "a")).ago(time.Minute, due(today, 1, 2, "probe"))
			},
			func(p *Pace) { p.ProbeBefore = noon.Add(-time.Hour) }, Stored, 0, nil},
		"stored, and restated": {
			func(s *story) {
				s.ago(long, asked, stored(piece(today, 1), "d1", "a"), events.Restated{Piece: piece(today, 1), Pin: pin("b")})
			}, nil, Due, 0, []string{"due 2001-01-01/2/0 collect 1 restated"}},
		"restated before it was stored": {
			func(s *story) {
				s.ago(short, asked, one.collected[0], events.Restated{Piece: piece(today, 1), Pin: pin("b")})
			}, nil, Due, 0,
			[]string{"due 2001-01-01/2/0 collect 1 restated"}},
		"restated twice": {
			func(s *story) {
				s.ago(short, asked, stored(piece(today, 1), "d1", "a"), events.Restated{Piece: piece(today, 1)}, events.Restated{Piece: piece(today, 2)})
			}, nil, Due, 0, []string{"due 2001-01-01/3/0 collect 1 restated"}},
		"the second generation is under way": {
			func(s *story) {
				s.ago(long, asked, stored(piece(today, 1), "d1", "a"), events.Restated{Piece: piece(today, 1)}).ago(short, due(today, 2, 1, "restated"), two.collected[0])
			}, nil, Processing, 1, nil},
		"the second generation is stored": {
			func(s *story) {
				s.ago(long, stored(piece(today, 1), "d1", "a"), events.Restated{Piece: piece(today, 1)}, stored(piece(today, 2), "d1", "b"))
			}, nil, Stored, 0, nil},
		"the second generation is restated, but a third is stored": {
			func(s *story) {
				s.ago(long, events.Restated{Piece: piece(today, 2)}, stored(piece(today, 3), "d1", "b"))
			}, nil, Stored, 0, nil},
		"stored by the definition before": {
			func(s *story) { s.ago(short, asked, stored(piece(today, 1), "d0", "a")) }, nil, Due, 0, []string{"due 2001-01-01/2/0 collect 1 contract"}},
		"stored by the definition before, and collected again by this": {
			func(s *story) {
				s.ago(short, asked, stored(piece(today, 1), "d0", "a"), due(today, 2, 1, "contract"), two.collected[0])
			}, nil, Processing, 1, nil},
		"the definition is what it was when it was stored": {
			func(s *story) {
				s.ago(short, stored(piece(today, 1), "d1", "a"), due(today, 2, 1, "contract"), two.collected[0])
			}, nil, Stored, 0, nil},
		"its file is missing": {func(s *story) { s.ago(2*time.Hour, asked).ago(time.Hour-1, missing) }, nil, Waiting, 1, nil},
		"its file is missing for a while": {
			func(s *story) { s.ago(2*time.Hour, asked).ago(time.Hour, missing) }, nil, Waiting, 1, []string{"due 2001-01-01/1/0 collect 2 schedule"}},
		"its file is missing for a while, and was just asked for again": {
			func(s *story) { s.ago(time.Hour, missing).ago(short, due(today, 1, 2, "schedule")) }, nil, Waiting, 1, nil},
		"its file is missing for a while, and nobody answered": {
			func(s *story) { s.ago(time.Hour, missing).ago(long, due(today, 1, 2, "schedule")) }, nil, Waiting, 1, []string{"due 2001-01-01/1/0 collect 3 schedule"}},
		"its file is missing, and a run begins": {
			func(s *story) { s.ago(2*time.Minute, asked, missing) }, func(p *Pace) { p.ProbeBefore = noon.Add(-time.Minute) }, Waiting, 1,
			[]string{"due 2001-01-01/1/0 collect 2 schedule"}},
		"its file is missing, a run begins, and it was asked for since": {
			func(s *story) { s.ago(2*time.Minute, asked, missing).ago(30*time.Second, due(today, 1, 2, "schedule")) },
			func(p *Pace) { p.ProbeBefore = noon.Add(-time.Minute) }, Waiting, 1, nil},
		"its file is still missing since a run began": {
			func(s *story) { s.ago(40*time.Second, due(today, 1, 2, "schedule")).ago(30*time.Second, missing) },
			func(p *Pace) { p.ProbeBefore = noon.Add(-time.Minute) }, Waiting, 1, nil},
		"its file was missing": {
			func(s *story) {
				_ = s.ago(time.Hour, asked, missing).m.Retract(s.t.Context(), missing)
				s.ago(short, one.collected[0])
			}, nil, Processing, 1, nil},
		"too many rows are refused": {func(s *story) { whole(s.ago(1000*time.Hour, asked), one, 1000*time.Hour).ago(999*time.Hour, budget) }, nil, Stopped, 2, nil},
		"too many rows are refused, and a run begins": {
			func(s *story) { whole(s.ago(2*time.Hour, asked), one, 2*time.Hour).ago(2*time.Hour, budget) }, func(p *Pace) { p.ProbeBefore = noon.Add(-time.Hour) }, Stopped, 2,
			[]string{"due 2001-01-01/1/0 collect 2 probe"}},
		"too many rows were refused by the definition before": {
			func(s *story) {
				before := budget
				before.Definition = "d0"
				whole(s.ago(long, asked), old, long).ago(long, before)
			}, nil, Collecting, 1, []string{"due 2001-01-01/1/0 collect 2 schedule"}},
		"too many rows are refused of just these slices": {
			func(s *story) {
				stop := budget
				stop.Inputs = events.GenerationDigest(one.staged[:])
				whole(s.ago(time.Hour, asked), one, time.Hour).ago(time.Hour, stop)
			}, nil, Stopped, 2, nil},
		"too many rows were refused of other slices": {
			func(s *story) {
				stop := budget
				stop.Inputs = events.GenerationDigest(other.staged[:])
				whole(s.ago(time.Hour, asked), one, time.Hour).ago(time.Hour, stop)
			}, nil, Storing, 2, []string{"validated 2001-01-01/1/2"}},
		"too many rows were refused, and a slice was lost since": {
			func(s *story) {
				stop := budget
				stop.Inputs = events.GenerationDigest(one.staged[:])
				whole(s.ago(time.Hour, asked), one, time.Hour).ago(time.Hour, stop)
				_ = s.m.Retract(s.t.Context(), one.staged[1])
			}, nil, Storing, 2, []string{"validated 2001-01-01/1/2"}},
		"the header of the second slice is wrong": {
			func(s *story) {
				s.ago(time.Hour, asked, one.collected[0], one.collected[1], one.processed[0], one.validated[0], one.staged[0],
					events.Stopped{Piece: piece(today, 1), Step: "process", Definition: "d1", Inputs: one.collected[1].Digest()})
			}, nil, Stopped, 2, nil},
		"the header of other bytes was wrong": {
			func(s *story) {
				s.ago(time.Hour, asked, one.collected[0], events.Stopped{Piece: piece(today, 1), Step: "process", Definition: "d1", Inputs: other.collected[0].Digest()})
			}, nil, Processing, 1, []string{"collected 2001-01-01/1/1"}},
		"too many rows are refused of a generation that was restated": {
			func(s *story) { s.ago(short, asked, budget, events.Restated{Piece: piece(today, 1)}) }, nil, Due, 0, []string{"due 2001-01-01/2/0 collect 1 restated"}},
		"a due of another step was said": {
			func(s *story) { s.ago(short, events.Due{Piece: piece(today, 1), Step: events.StepDeliver, Attempt: 9}) }, nil, Due, 0,
			[]string{"due 2001-01-01/1/0 collect 1 schedule"}},
	}
	for name, tt := range tests {
		s := tell(t)
		tt.said(s)
		at := pace
		if tt.pace != nil {
			tt.pace(&at)
		}
		d := flights()
		states := Survey(d, s.view(), start.Add(30*time.Hour), noon, at)
		if len(states) != 1 {
			t.Fatalf("%s: %d windows, want one", name, len(states))
		}
		got := states[0]
		if got.Phase != tt.phase || got.Slice != tt.slice {
			t.Errorf("%s: it is %s at slice %d, want %s at %d", name, got.Phase, got.Slice, tt.phase, tt.slice)
		}
		wantNames(t, name, got.Say, tt.say...)
		// What was said is not said again by a second tick.
		s.ago(0, got.Say...)
		wantNames(t, name+", at a second tick", Survey(d, s.view(), start.Add(30*time.Hour), noon, at)[0].Say)
	}
}

func TestWindowsAreDueOnceTheyAreOver(t *testing.T) {
	d := flights()
	for name, tt := range map[string]struct {
		now  time.Time
		want int
	}{
		"before the first day is over":       {start.Add(dayLong), 0},
		"a moment before the delay is over":  {start.Add(30*time.Hour - 1), 0},
		"when the delay is over":             {start.Add(30 * time.Hour), 1},
		"a day later":                        {start.Add(54 * time.Hour), 2},
		"long after the last day":            {start.Add(9000 * time.Hour), 14},
		"before all":                         {start.Add(-9000 * time.Hour), 0},
		"when the day is told in other zone": {start.Add(30 * time.Hour).In(time.FixedZone("", -11*3600)), 1},
	} {
		states := 0
		for _, st := range Survey(d, tell(t).view(), tt.now, noon, pace) {
			if st.Step == events.StepCollect {
				states++
			}
		}
		if states != tt.want {
			t.Errorf("%s: %d days, want %d", name, states, tt.want)
		}
	}
}

func TestAnnouncementsKeepToTheLimit(t *testing.T) {
	s := tell(t)
	s.ago(time.Minute, due("2001-01-02", 1, 1, "schedule"))                                          // collecting
	s.ago(time.Hour, due("2001-01-05", 1, 1, "schedule"))                                            // stuck
	s.ago(time.Hour, events.Stopped{Piece: piece("2001-01-03", 1), Step: "store", Definition: "d1"}) // of no weight
	s.ago(time.Hour, stored(piece("2001-01-04", 1), "d1", "a"), events.Restated{Piece: piece("2001-01-04", 1)})
	states := Survey(flights(), s.view(), start.Add(7*dayLong), noon, pace)
	const stuck = "due 2001-01-05/1/0 collect 2 schedule"
	for parallel, want := range map[int][]string{
		1: {stuck},
		2: {stuck},
		3: {"due 2001-01-01/1/0 collect 1 schedule", stuck},
		4: {"due 2001-01-01/1/0 collect 1 schedule", "due 2001-01-04/2/0 collect 1 restated", stuck},
		0: {"due 2001-01-01/1/0 collect 1 schedule", "due 2001-01-04/2/0 collect 1 restated", stuck, "due 2001-01-06/1/0 collect 1 schedule"},
	} {
		wantNames(t, "with a limit", Announcements(states, parallel), want...)
	}
}
