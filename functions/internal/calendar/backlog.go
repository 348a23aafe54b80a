package calendar

import (
	"cmp"
	"strings"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/backlog"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// stuckAfter is how often the same is announced in vain before its window counts as stuck. What was lost once is mended by the first.
const stuckAfter = 3

// announced counts how often in a row the same was announced, by the keys of states.
type announced map[string]int

// again counts what was chosen of a survey to be announced. What has moved on is not counted any more; what waits for its turn, or for the grace,
// keeps its count.
func (a announced) again(states, chosen []State) announced {
	next := announced{}
	for _, st := range states {
		if n := a[st.key()]; n > 0 && !st.Phase.done() {
			next[st.key()] = n
		}
	}
	for _, st := range chosen {
		if len(st.Say) > 0 && !st.Phase.done() {
			next[st.key()]++
		}
	}
	return next
}

// key names what is waited for: it is another one when the work has moved on.
func (st State) key() string {
	phase := st.Phase
	if phase == Running {
		phase = Due // it is announced again as what is due
	}
	return strings.Join([]string{st.Step, st.Piece.At(st.Slice).Key(), string(phase), st.Inputs}, " ")
}

// done says that nothing is to come of a window until something else changes.
func (p Phase) done() bool { return p.Final() || p == Blocked || p == Waiting }

// tally sums up a survey of a dataset at a time of its schedules.
func tally(d *dataset.Dataset, states []State, said announced, now, wall time.Time) backlog.Backlog {
	delay := map[backlog.Work]time.Duration{{Step: events.StepCollect}: d.Collect.Delay}
	for _, q := range d.Aggregates {
		delay[backlog.Work{Step: events.StepAggregate, Name: q.Name}] = q.Delay
	}
	for _, q := range d.Releases {
		delay[backlog.Work{Step: events.StepDeliver, Name: q.Name}] = q.Delay
	}
	b := backlog.Backlog{At: wall, Works: map[backlog.Work]backlog.Standing{}}
	for work := range delay {
		b.Works[work] = backlog.Standing{Phases: map[string]int{}, Stopped: map[string]int{}}
	}
	for _, st := range states {
		work := backlog.Work{Step: st.Step, Name: st.Piece.Name}
		s := b.Works[work]
		s.Phases[string(st.Phase)]++
		switch {
		case st.Phase == Stopped:
			s.Stopped[cmp.Or(st.Reason, "unplanned")]++
		case st.Phase.Final(), st.Phase == Blocked: // it is late by its inputs, which count themselves
		default:
			if w, err := window.Parse(st.Piece.Window); err == nil {
				s.Overdue = max(s.Overdue, now.Sub(w.End.Add(delay[work])))
			}
		}
		if said[st.key()] >= stuckAfter {
			s.Stuck++
		}
		b.Works[work] = s
	}
	return b
}
