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
	st.Inputs = verdict.Inputs
	subject := lineage.Attempt(q, verdict.Inputs)
	stop, stopped, ok := facts.When[events.Stopped](s.view, st.Piece)
	ok = ok && stop.Step == st.Step
	if ok && !stop.Waiting && stop.Inputs == subject {
		st.Phase, st.Why, st.Reason = Stopped, stop.Detail, stop.Reason
		return
	}
	last, said, asked := facts.LatestDue(s.view, st.Step, st.Piece)
	st.Asked = last
	// The attempt goes on counting when the inputs change: should they change back, the id is still a new one.
	due := events.Due{Piece: st.Piece, Step: st.Step, Attempt: last.Attempt + 1, Try: 1, Reason: reasonSchedule, Inputs: verdict.Inputs}
	if before {
		due.Reason, due.Detail = "inputs", s.cause(q, w)
	}
	// The attempt tells whether it was given up since it was asked for last: who says so may have a clock of its own.
	givenUp := ok && stop.Waiting && stop.Attempt == last.Attempt
	switch {
	case !asked, last.Inputs != verdict.Inputs, givenUp && stop.Inputs != subject, givenUp && stopped.Before(s.pace.looked(s.wall)):
		st.Phase, st.Say = Due, []events.Event{due}
	case givenUp:
		st.Phase, st.Why = Waiting, stop.Detail
	case s.stuck(said):
		s.retryQuery(st, due, said, subject)
	default:
		st.Phase, st.Said = Running, said
	}
}

// retryQuery announces a query once more whose last attempt has ended without a result, or gives it up.
func (s *survey) retryQuery(st *State, due events.Due, said time.Time, subject string) {
	tries := max(st.Asked.Try, 1)
	switch {
	case s.pace.Attempts == 0 || tries < s.pace.Attempts:
		due.Try = tries + 1
		st.Phase, st.Say = Due, []events.Event{due}
	case s.moving(st.Step, said):
		st.Phase, st.Said = Running, said
	default:
		stop := s.giveUp(st.Asked, said, subject)
		st.Phase, st.Said, st.Why, st.Say = Running, said, stop.Detail, []events.Event{stop}
	}
}

// giveUp says that nothing has come of the last try.
func (s *survey) giveUp(last events.Due, said time.Time, subject string) events.Stopped {
	again := "the next almanac run"
	if s.pace.Recheck > 0 {
		again = "itself " + s.pace.Recheck.String() + " later"
	}
	return events.Stopped{
		Piece: last.Piece, Step: last.Step, Inputs: subject, Attempt: last.Attempt, Waiting: true, Reason: "attempts",
		Detail: fmt.Sprintf("attempts without a result: %d, the last asked for at %s. See in the logs of %s why (out of memory, out of time, a crash?). "+
			"It is tried again by %s, when its inputs change, or at once by almanac deadletters resend", max(last.Try, 1), said.UTC().Format(time.RFC3339), last.Step, again),
	}
}

// moving says whether something of the step, of any dataset, has ended within the grace that was asked for no later. Where a function does one
// after the other, what was asked for then may still wait for its turn.
func (s *survey) moving(step string, asked time.Time) bool {
	for _, other := range facts.Dues(s.view, step, "") {
		if _, said, _ := facts.LatestDue(s.view, step, other.Piece); said.After(asked) {
			continue
		}
		_, made, ok := facts.When[events.Released](s.view, other.Piece)
		if step == events.StepAggregate {
			_, made, ok = facts.When[events.Aggregated](s.view, other.Piece)
		}
		if ok && !s.stuck(made) {
			return true
		}
	}
	return false
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
