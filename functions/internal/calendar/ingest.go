package calendar

import (
	"slices"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// Reasons why a generation is due.
const (
	reasonSchedule = "schedule"
	reasonRestated = "restated"
	reasonContract = "contract"
	reasonProbe    = "probe"
)

// ingest is the state of one collection window.
func (s *survey) ingest(w window.Window) State {
	piece := events.Piece{Dataset: s.d.Name, Window: w.Key()}
	stored, done := s.stored[w.Key()]
	piece.Generation = stored.Generation
	st := State{Piece: piece, Step: events.StepCollect, Phase: Stored, Visible: stored.Generation, Sheet: stored.Entry.Sheet}
	reason := reasonSchedule
	switch {
	case done && s.restated(piece):
		reason = reasonRestated
	case done && stored.Entry.Definition != s.d.Definition:
		reason = reasonContract
	case done:
		_, st.Said, _ = facts.When[events.Stored](s.view, piece)
		st.Say = s.probe(piece)
		return st
	}
	for piece.Generation++; s.restated(piece); piece.Generation++ {
		reason = reasonRestated
	}
	st.Piece, st.Sheet = piece, nil
	inputs := s.follow(&st, reason)
	if stop, said, ok := facts.When[events.Stopped](s.view, piece); ok && s.holds(stop, inputs) {
		st.Phase, st.Why, st.Reason, st.Say = Stopped, stop.Detail, stop.Reason, s.probe(piece)
		if stop.Waiting {
			st.Phase, st.Say = Waiting, nil
			if s.retry(piece, said) {
				st.Say = s.again(piece, reason)
			}
		}
	}
	return st
}

// holds says whether what stopped a generation is still so: for this definition, and for one of the inputs that lie on its way now.
// What collect says of the source it takes back itself.
func (s *survey) holds(stop events.Stopped, inputs []string) bool {
	return (stop.Definition == "" || stop.Definition == s.d.Definition) &&
		(stop.Step == events.StepCollect || stop.Inputs == "" || slices.Contains(inputs, stop.Inputs))
}

// retry says whether what waits for the world outside since stopped is tried again: after a while, or because somebody has started a run
// anew. A try that is under way gets its time.
func (s *survey) retry(p events.Piece, stopped time.Time) bool {
	if _, asked, ok := facts.LatestDue(s.view, events.StepCollect, p); ok && asked.After(stopped) {
		return s.stuck(asked)
	}
	return stopped.Before(s.pace.ProbeBefore) || s.wall.Sub(stopped) >= s.pace.Retry
}

// restated says whether the source is known to differ from what that generation pinned.
func (s *survey) restated(p events.Piece) bool {
	_, ok := facts.Get[events.Restated](s.view, p)
	return ok
}

// probe asks collect to look whether the source of a window has changed since.
func (s *survey) probe(p events.Piece) []events.Event {
	last, said, ok := facts.LatestDue(s.view, events.StepCollect, p)
	before := s.pace.looked(s.wall)
	if before.IsZero() || ok && !said.Before(before) {
		return nil
	}
	return []events.Event{events.Due{Piece: p, Step: events.StepCollect, Attempt: last.Attempt + 1, Reason: reasonProbe}}
}

// again announces the collection of a generation once more, under a new id.
func (s *survey) again(p events.Piece, reason string) []events.Event {
	last, _, _ := facts.LatestDue(s.view, events.StepCollect, p)
	return []events.Event{events.Due{Piece: p, Step: events.StepCollect, Attempt: last.Attempt + 1, Reason: reason}}
}

// follow walks along the facts of a generation to the first that is missing, or was made for something else than the one before it.
// It returns the digests of what steps have worked from on the way: of each slice as it is collected, and of all that is staged.
func (s *survey) follow(st *State, reason string) (inputs []string) {
	_, said, ok := facts.LatestDue(s.view, events.StepCollect, st.Piece)
	if !ok {
		st.Phase, st.Say = Due, s.again(st.Piece, reason)
		return nil
	}
	var all []events.Staged
	for prev := (events.Collected{}); !prev.Last; {
		st.Slice++
		collected, when, ok := facts.When[events.Collected](s.view, st.Piece.At(st.Slice))
		if !ok || collected.Definition != s.d.Definition || !collected.Follows(prev) {
			// Collected by another definition, or from another place, it is asked for at once, unless it has been since.
			st.Phase, st.Said = Collecting, said
			if s.stuck(said) || ok && !said.After(when) {
				st.Say = s.again(st.Piece, reason)
			}
			return inputs
		}
		said = later(said, when)
		inputs = append(inputs, collected.Digest())
		staged, ok := s.slice(st, collected, when)
		if !ok {
			return inputs
		}
		all = append(all, staged)
		prev = collected
	}
	// Every slice is staged, but the window is not stored: wake store by the last slice.
	last, when, _ := facts.When[events.Validated](s.view, st.Piece.At(st.Slice))
	staged, at, _ := facts.When[events.Staged](s.view, st.Piece.At(st.Slice))
	st.Phase, st.Said = Storing, later(when, at)
	if s.stuck(st.Said) && staged.Inputs == last.Digest() {
		st.Say = []events.Event{last}
	}
	return append(inputs, events.GenerationDigest(all))
}

// slice finds the first step of a slice that is not done for its input, and says the input again when that takes too long.
func (s *survey) slice(st *State, collected events.Collected, said time.Time) (staged events.Staged, done bool) {
	at := collected.Piece
	processed, when, ok := facts.When[events.Processed](s.view, at)
	if !ok || processed.Inputs != collected.Digest() || processed.Definition != s.d.Definition {
		s.wait(st, Processing, collected, said)
		return staged, false
	}
	validated, later, ok := facts.When[events.Validated](s.view, at)
	if !ok || validated.Inputs != processed.Digest() || validated.Definition != s.d.Definition {
		s.wait(st, Validating, processed, when)
		return staged, false
	}
	staged, ok = facts.Get[events.Staged](s.view, at)
	if !ok || staged.Inputs != validated.Digest() {
		s.wait(st, Storing, validated, later)
		return staged, false
	}
	return staged, true
}

func (s *survey) wait(st *State, phase Phase, input events.Event, said time.Time) {
	st.Phase, st.Said = phase, said
	if s.stuck(said) {
		st.Say = []events.Event{input}
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
