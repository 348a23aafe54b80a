package calendar

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/lineage"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// aggregate is the state of one window of an aggregate.
func (s *survey) aggregate(q dataset.Query, w window.Window) State {
	st := State{Piece: events.Piece{Dataset: s.d.Name, Name: q.Name, Window: w.Key()}, Step: events.StepAggregate}
	verdict, err := lineage.Judge(s.d, q, w, s.known)
	if err != nil {
		st.Phase, st.Why = Stopped, err.Error()
		return st
	}
	fact, said, ok := facts.When[events.Aggregated](s.view, st.Piece)
	if ok {
		st.Rows = fact.Rows
	}
	if ok && fact.Inputs == verdict.Inputs {
		st.Phase, st.Said = Aggregated, said
		return st
	}
	s.due(&st, q, w, verdict, ok)
	return st
}

// release is the state of one release.
func (s *survey) release(q dataset.Query, w window.Window) State {
	st := State{Piece: events.Piece{Dataset: s.d.Name, Name: q.Name, Window: w.Key()}, Step: events.StepDeliver}
	verdict, err := lineage.Judge(s.d, q, w, s.known)
	if err != nil {
		st.Phase, st.Why = Stopped, err.Error()
		return st
	}
	fact, said, ok := facts.When[events.Released](s.view, st.Piece)
	if ok {
		st.Version, st.Rows, st.Visible = fact.Version, fact.Rows, fact.Revision
	}
	if ok && fact.Inputs == verdict.Inputs {
		st.Phase, st.Said = Released, said
		return st
	}
	s.due(&st, q, w, verdict, ok)
	return st
}

// due decides whether a query is announced: its inputs must be complete, and it must not be under way for just these inputs.
func (s *survey) due(st *State, q dataset.Query, w window.Window, verdict lineage.Verdict, before bool) {
	if !verdict.Complete() && !q.Provisional {
		st.Phase, st.Why = Blocked, waitsFor(verdict.Absent)
		return
	}
	inputs := verdict.Inputs
	st.Inputs = inputs
	if stop, ok := facts.Get[events.Stopped](s.view, st.Piece); ok && stop.Step == st.Step && stop.Inputs == lineage.Attempt(q, inputs) {
		st.Phase, st.Why, st.Reason = Stopped, stop.Detail, stop.Reason
		return
	}
	last, said, ok := facts.LatestDue(s.view, st.Step, st.Piece)
	same := ok && last.Inputs == inputs
	if same && !s.stuck(said) {
		st.Phase, st.Said = Running, said
		return
	}
	// The attempt goes on counting when the inputs change: should they change back, the id is still a new one.
	due := events.Due{Piece: st.Piece, Step: st.Step, Attempt: last.Attempt + 1, Reason: reasonSchedule, Inputs: inputs}
	if before {
		due.Reason, due.Detail = "inputs", s.cause(q, w)
	}
	st.Phase, st.Say = Due, []events.Event{due}
}

func waitsFor(absent []lineage.Absence) string {
	names := make([]string, 0, 3)
	for _, a := range absent[:min(len(absent), 3)] {
		names = append(names, a.String())
	}
	text := strings.Join(names, ", ")
	if more := len(absent) - len(names); more > 0 {
		return fmt.Sprintf("%s, and %d more", text, more)
	}
	return text
}

// cause tells a person why a query is due again: the windows in its span that were collected more than once.
func (s *survey) cause(q dataset.Query, w window.Window) string {
	from := w.Start
	for _, in := range q.Inputs {
		if start := w.Start.Add(-in.Back); start.Before(from) {
			from = start
		}
	}
	var parts []string
	for _, f := range s.stored {
		if f.Generation > 1 && touches(f.Entry.Sheet, from, w.End) {
			parts = append(parts, fmt.Sprintf("%s is generation %d (%s)", f.Window, f.Generation, f.Entry.Reason))
		}
	}
	if len(parts) == 0 {
		return "the SQL or its declared inputs have changed"
	}
	sort.Strings(parts)
	return strings.Join(parts, ", ")
}

func touches(sheet events.Sheet, from, until time.Time) bool {
	for day := range sheet {
		if w, err := window.Parse(day); err == nil && w.Start.Before(until) && w.End.After(from) {
			return true
		}
	}
	return false
}
