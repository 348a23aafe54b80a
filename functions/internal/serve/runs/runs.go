// Package runs tells from the facts how far each collection window of a dataset is: its generations, their slices and their balance sheets.
package runs

import (
	"cmp"
	"slices"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// Sheet is a balance sheet: read = stored + quarantined + duplicate + filtered.
type Sheet struct {
	Read        int64 `json:"read"`
	Stored      int64 `json:"stored"`
	Quarantined int64 `json:"quarantined"`
	Duplicate   int64 `json:"duplicate"`
	Filtered    int64 `json:"filtered"`
	Balanced    bool  `json:"balanced"`
}

// NewSheet makes a sheet of counts.
func NewSheet(c events.Counts) Sheet {
	return Sheet{c.Read, c.Stored, c.Quarantined, c.Duplicate, c.Filtered, c.Balanced()}
}

// Run is one generation of a window.
type Run struct {
	Generation int              `json:"generation"`
	State      string           `json:"state"`
	Reason     string           `json:"reason,omitempty"` // why the generation was due
	Slices     int              `json:"slices,omitempty"` // 0 until the last one is known
	Steps      Steps            `json:"steps"`
	Sheet      Sheet            `json:"sheet"` // as far as the run is
	Reasons    map[string]int64 `json:"reasons"`
	Stopped    *Stop            `json:"stopped,omitempty"`
}

// Steps counts the slices that are through each step.
type Steps struct {
	Collected int `json:"collected"`
	Processed int `json:"processed"`
	Validated int `json:"validated"`
	Staged    int `json:"staged"`
}

// Stop is why a run does not go on.
type Stop struct {
	Step    string `json:"step"`
	Reason  string `json:"reason"`
	Detail  string `json:"detail"`
	Waiting bool   `json:"waiting"` // tried again by itself
}

// Window is one collection window with its runs, the latest first.
type Window struct {
	Window  string    `json:"window"`
	Start   time.Time `json:"start"`
	End     time.Time `json:"end"`
	State   string    `json:"state"`                        // of the latest run
	Visible int       `json:"visible_generation,omitempty"` // 0 if none is stored
	Runs    []Run     `json:"runs"`
	URL     string    `json:"url"`
}

// Of lists the windows of a dataset that facts speak of, oldest first. url is what their URLs start with.
func Of(v *facts.View, d *dataset.Dataset, url string) []Window {
	generations := map[string]map[int]bool{}
	note := func(p events.Piece) {
		if p.Name != "" {
			return
		}
		if generations[p.Window] == nil {
			generations[p.Window] = map[int]bool{}
		}
		generations[p.Window][p.Generation] = true
	}
	for _, f := range facts.Dues(v, events.StepCollect, d.Name) {
		note(f.Piece)
	}
	for _, f := range facts.All[events.Collected](v, d.Name) {
		note(f.Piece)
	}
	for _, f := range facts.All[events.Stored](v, d.Name) {
		note(f.Piece)
	}
	for _, f := range facts.All[events.Stopped](v, d.Name) {
		note(f.Piece)
	}
	var all []Window
	for key, of := range generations {
		if w, err := window.Parse(key); err == nil {
			all = append(all, newWindow(v, d, w, of, url))
		}
	}
	slices.SortFunc(all, func(a, b Window) int {
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.Window, b.Window))
	})
	return all
}

func newWindow(v *facts.View, d *dataset.Dataset, w window.Window, generations map[int]bool, url string) Window {
	item := Window{Window: w.Key(), Start: w.Start, End: w.End, URL: url + w.Key()}
	for generation := range generations {
		one := newRun(v, d, events.Piece{Dataset: d.Name, Window: w.Key(), Generation: generation})
		if one.State == Stored {
			item.Visible = max(item.Visible, generation)
		}
		item.Runs = append(item.Runs, one)
	}
	slices.SortFunc(item.Runs, func(a, b Run) int { return b.Generation - a.Generation })
	for i := range item.Runs {
		if item.Runs[i].State == Stored && item.Runs[i].Generation < item.Visible {
			item.Runs[i].State = Replaced
		}
	}
	item.State = item.Runs[0].State
	return item
}

// newRun follows the facts of a generation as far as each was made from the one before it.
func newRun(v *facts.View, d *dataset.Dataset, p events.Piece) Run {
	one := Run{Generation: p.Generation, State: Due, Reasons: map[string]int64{}}
	if due, _, ok := facts.LatestDue(v, events.StepCollect, p); ok && due.Reason != "probe" {
		one.Reason = due.Reason
	}
	one.walk(v, p)
	if stored, ok := facts.Get[events.Stored](v, p); ok {
		one.State, one.Slices, one.Reason = Stored, stored.Entry.Slices, cmp.Or(stored.Entry.Reason, one.Reason)
		one.Sheet = NewSheet(stored.Entry.Sheet.Total())
		return one
	}
	if stop, ok := facts.Get[events.Stopped](v, p); ok && (stop.Definition == "" || stop.Definition == d.Definition) {
		one.Stopped = &Stop{stop.Step, stop.Reason, stop.Detail, stop.Waiting}
		one.State = map[bool]string{true: Waiting, false: Stopped}[stop.Waiting]
	}
	if _, ok := facts.Get[events.Restated](v, p); ok {
		one.State = GivenUp
	}
	return one
}

// walk goes from slice to slice; the first that is not staged decides the state.
func (r *Run) walk(v *facts.View, p events.Piece) {
	var sheet events.Counts
	open := true
	for n := 1; ; n++ {
		s := follow(v, p.At(n))
		if n == 1 {
			r.Reason = cmp.Or(s.reason, r.Reason)
		}
		if open && (n > 1 || s.done > 0) {
			r.State = states[s.done]
		}
		open = open && s.done == staged
		sheet = sheet.Add(s.sheet)
		for rule, rows := range s.reasons {
			r.Reasons[rule] += rows
		}
		r.Steps.add(s.done)
		if s.last {
			r.Slices = n
		}
		if s.done == 0 || s.last {
			break
		}
	}
	r.Sheet = NewSheet(sheet)
}

// staged is how many steps a slice is through that is staged.
const staged = 4

// States of a run beside those of states; openapi.json says what they mean.
const (
	Due      = "due"
	Stored   = "stored"
	Waiting  = "waiting"
	Stopped  = "stopped"
	GivenUp  = "given_up"
	Replaced = "replaced"
)

// states names what a run does next when its first unfinished slice is through so many steps.
var states = []string{"collecting", "processing", "validating", "storing", "storing"}

func (s *Steps) add(done int) {
	for i, count := range []*int{&s.Collected, &s.Processed, &s.Validated, &s.Staged} {
		if done > i {
			*count++
		}
	}
}

// slice is how far one slice is.
type slice struct {
	done    int // steps
	last    bool
	reason  string
	sheet   events.Counts
	reasons map[string]int64
}

func follow(v *facts.View, p events.Piece) slice {
	var s slice
	collected, ok := facts.Get[events.Collected](v, p)
	if !ok {
		return s
	}
	s.done, s.last, s.reason = 1, collected.Last, collected.Reason
	processed, ok := facts.Get[events.Processed](v, p)
	if !ok || processed.Inputs != collected.Digest() {
		return s
	}
	s.done, s.sheet = 2, processed.Sheet.Total()
	validated, ok := facts.Get[events.Validated](v, p)
	if !ok || validated.Inputs != processed.Digest() {
		return s
	}
	s.done, s.sheet, s.reasons = 3, validated.Sheet.Total(), validated.Reasons
	written, ok := facts.Get[events.Staged](v, p)
	if !ok || written.Inputs != validated.Digest() {
		return s
	}
	s.done, s.sheet, s.reasons = staged, written.Sheet.Total(), written.Reasons
	return s
}
