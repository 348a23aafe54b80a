package calendar

import (
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/lineage"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// Phase is how far a piece of work is.
type Phase string

// The phases of a window. Stored, Aggregated and Released are final until an input changes.
const (
	Due        Phase = "due"
	Collecting Phase = "collecting"
	Processing Phase = "processing"
	Validating Phase = "validating"
	Storing    Phase = "storing"
	Stored     Phase = "stored"
	Blocked    Phase = "blocked" // its inputs are not complete
	Running    Phase = "running" // an aggregate or release that was announced
	Aggregated Phase = "aggregated"
	Released   Phase = "released"
	Waiting    Phase = "waiting" // for the world outside, or given up for a while; tried again
	Stopped    Phase = "stopped" // for a person
)

func (p Phase) working() bool {
	switch p {
	case Collecting, Processing, Validating, Storing:
		return true
	case Due, Stored, Blocked, Running, Aggregated, Released, Waiting, Stopped:
	}
	return false
}

// Final says that nothing more is to be done by itself: the work is done, or a person must act.
func (p Phase) Final() bool {
	return p == Stored || p == Aggregated || p == Released || p == Stopped
}

// State is where one window of one step stands, and what the calendar would say about it now.
type State struct {
	Piece events.Piece
	Step  string // collect, aggregate or deliver
	Phase Phase
	Why   string // for a person: why it is not further
	// Reason is one word, of what has stopped.
	Reason string
	Slice  int // the slice that the phase is about, of a window that is being ingested
	Sheet  events.Sheet
	// Generation that is visible, 0 if none.
	Visible int
	Inputs  string         // signature of what an aggregate or release is announced for
	Version string         // of a release
	Rows    int64          // of an aggregate or release
	Said    time.Time      // when the last fact of it was said
	Asked   events.Due     // what asked for an aggregate or release last; of attempt 0 if nothing has
	Say     []events.Event // announcements
}

// givesUp is what the calendar would say about it now, if that is that its last try has failed.
func (s State) givesUp() (stop events.Stopped, ok bool) {
	if len(s.Say) == 1 {
		stop, ok = s.Say[0].(events.Stopped)
	}
	return stop, ok
}

// GivenUp says that it was asked for as often as the calendar does by itself, and a person may ask for it again.
func (s State) GivenUp() bool {
	_, about := s.givesUp()
	return about || s.Phase == Waiting && s.Step != events.StepCollect
}

// survey is what one look needs.
type survey struct {
	d         *dataset.Dataset
	view      *facts.View
	now, wall time.Time
	pace      Pace
	stored    map[string]events.Stored
	known     lineage.Known
}

// Survey says where every window of a dataset stands whose time is over by now, in the order collect, aggregate, deliver and of
// time. wall is compared with the times at which events were said.
func Survey(d *dataset.Dataset, view *facts.View, now, wall time.Time, pace Pace) []State {
	s := &survey{d: d, view: view, now: now, wall: wall, pace: pace,
		stored: facts.LatestStored(view, d.Name)}
	var states []State
	for _, w := range d.Collect.Windows(now) {
		states = append(states, s.ingest(w))
	}
	s.known = known(view, d.Name, s.stored, states).Memoized()
	for _, q := range d.Aggregates {
		for _, w := range s.windows(q) {
			states = append(states, s.aggregate(q, w))
		}
	}
	for _, q := range d.Releases {
		for _, w := range s.windows(q) {
			states = append(states, s.release(q, w))
		}
	}
	return states
}

// windows lists the windows of a query that are over and lie wholly in the dataset's time.
func (s *survey) windows(q dataset.Query) []window.Window {
	until := s.now.Add(-q.Delay)
	if end := s.d.Collect.End; !end.IsZero() && end.Before(until) {
		until = end
	}
	return window.Between(q.Every, s.d.Collect.Start, until)
}

// stuck says whether something said at that time has waited longer than the grace for its successor.
func (s *survey) stuck(said time.Time) bool { return s.wall.Sub(said) >= s.pace.Grace }

// known is what queries may be planned on. A window that is being collected again counts as missing until that is decided, so that
// what depends on it is computed once.
func known(view *facts.View, dataset string, stored map[string]events.Stored, states []State) lineage.Known {
	k := lineage.Known{Rows: map[string]events.Entry{}, Aggregates: map[string]map[string]lineage.AggregateEntry{}}
	for key, f := range stored {
		k.Rows[key] = f.Entry
	}
	for _, st := range states {
		if st.Phase == Due || st.Phase.working() {
			delete(k.Rows, st.Piece.Window)
		}
	}
	for _, f := range facts.All[events.Aggregated](view, dataset) {
		if k.Aggregates[f.Name] == nil {
			k.Aggregates[f.Name] = map[string]lineage.AggregateEntry{}
		}
		k.Aggregates[f.Name][f.Window] = lineage.AggregateEntry{Inputs: f.Inputs, Digest: f.Digest, Rows: f.Rows, Provisional: f.Provisional}
	}
	return k
}
