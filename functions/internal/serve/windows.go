package serve

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// sheetItem is a balance sheet: read = stored + quarantined + duplicate + filtered.
type sheetItem struct {
	Read        int64 `json:"read"`
	Stored      int64 `json:"stored"`
	Quarantined int64 `json:"quarantined"`
	Duplicate   int64 `json:"duplicate"`
	Filtered    int64 `json:"filtered"`
	Balanced    bool  `json:"balanced"`
}

func newSheet(c events.Counts) sheetItem {
	return sheetItem{c.Read, c.Stored, c.Quarantined, c.Duplicate, c.Filtered, c.Balanced()}
}

// run is one generation of a window.
type run struct {
	Generation int              `json:"generation"`
	State      string           `json:"state"`
	Reason     string           `json:"reason,omitempty"` // why the generation was due
	Slices     int              `json:"slices,omitempty"` // 0 until the last one is known
	Steps      steps            `json:"steps"`
	Sheet      sheetItem        `json:"sheet"` // as far as the run is
	Reasons    map[string]int64 `json:"reasons"`
	Stopped    *stopItem        `json:"stopped,omitempty"`
}

// steps counts the slices that are through each step.
type steps struct {
	Collected int `json:"collected"`
	Processed int `json:"processed"`
	Validated int `json:"validated"`
	Staged    int `json:"staged"`
}

type stopItem struct {
	Step    string `json:"step"`
	Reason  string `json:"reason"`
	Detail  string `json:"detail"`
	Waiting bool   `json:"waiting"` // tried again by itself
}

// windowItem is one collection window with its runs, the latest first.
type windowItem struct {
	Window  string    `json:"window"`
	Start   time.Time `json:"start"`
	End     time.Time `json:"end"`
	State   string    `json:"state"`                        // of the latest run
	Visible int       `json:"visible_generation,omitempty"` // 0 if none is stored
	Runs    []run     `json:"runs"`
	URL     string    `json:"url"`
}

// windowsOf lists the windows that facts speak of, oldest first.
func windowsOf(v *facts.View, d *dataset.Dataset) []windowItem {
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
	var all []windowItem
	for key, of := range generations {
		if w, err := window.Parse(key); err == nil {
			all = append(all, newWindow(v, d, w, of))
		}
	}
	slices.SortFunc(all, func(a, b windowItem) int {
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.Window, b.Window))
	})
	return all
}

func newWindow(v *facts.View, d *dataset.Dataset, w window.Window, generations map[int]bool) windowItem {
	item := windowItem{Window: w.Key(), Start: w.Start, End: w.End, URL: datasetURL(d.Name) + "/windows/" + w.Key()}
	for generation := range generations {
		one := newRun(v, d, events.Piece{Dataset: d.Name, Window: w.Key(), Generation: generation})
		if one.State == "stored" {
			item.Visible = max(item.Visible, generation)
		}
		item.Runs = append(item.Runs, one)
	}
	slices.SortFunc(item.Runs, func(a, b run) int { return b.Generation - a.Generation })
	for i := range item.Runs {
		if item.Runs[i].State == "stored" && item.Runs[i].Generation < item.Visible {
			item.Runs[i].State = "replaced"
		}
	}
	item.State = item.Runs[0].State
	return item
}

// newRun follows the facts of a generation as far as each was made from the one before it.
func newRun(v *facts.View, d *dataset.Dataset, p events.Piece) run {
	one := run{Generation: p.Generation, State: "due", Reasons: map[string]int64{}}
	if due, _, ok := facts.LatestDue(v, events.StepCollect, p); ok && due.Reason != "probe" {
		one.Reason = due.Reason
	}
	var sheet events.Counts
	for n := 1; ; n++ {
		s := follow(v, p.At(n))
		if n == 1 {
			one.Reason = cmp.Or(s.reason, one.Reason)
		}
		sheet = sheet.Add(s.sheet)
		for rule, rows := range s.reasons {
			one.Reasons[rule] += rows
		}
		one.Steps.add(s.done)
		if one.State == "due" || one.State == states[len(states)-1] {
			one.State = states[s.done]
		}
		if s.done == 0 || s.last {
			if s.last {
				one.Slices = n
			} else if n == 1 {
				one.State = "due"
			}
			break
		}
	}
	if stored, ok := facts.Get[events.Stored](v, p); ok {
		one.State, one.Slices, one.Reason = "stored", stored.Entry.Slices, cmp.Or(stored.Entry.Reason, one.Reason)
		one.Sheet = newSheet(stored.Entry.Sheet.Total())
		return one
	}
	one.Sheet = newSheet(sheet)
	if stop, ok := facts.Get[events.Stopped](v, p); ok && (stop.Definition == "" || stop.Definition == d.Definition) {
		one.Stopped = &stopItem{stop.Step, stop.Reason, stop.Detail, stop.Waiting}
		one.State = map[bool]string{true: "waiting", false: "stopped"}[stop.Waiting]
	}
	if _, ok := facts.Get[events.Restated](v, p); ok {
		one.State = "given_up"
	}
	return one
}

// states names what a run does next when its first unfinished slice is through so many steps.
var states = []string{"collecting", "processing", "validating", "storing", "storing"}

func (s *steps) add(done int) {
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
	staged, ok := facts.Get[events.Staged](v, p)
	if !ok || staged.Inputs != validated.Digest() {
		return s
	}
	s.done, s.sheet, s.reasons = 4, staged.Sheet.Total(), staged.Reasons
	return s
}

func (s *Server) windows(w http.ResponseWriter, r *http.Request) error {
	d, err := s.datasetOf(r)
	if err != nil {
		return err
	}
	v, err := s.view(r.Context())
	if err != nil {
		return err
	}
	part, next, err := page(r, windowsOf(v, d), func(i windowItem) string { return i.Window })
	if err != nil {
		return err
	}
	return answer(w, struct {
		Windows []windowItem `json:"windows"`
		Next    string       `json:"next,omitempty"`
	}{part, next})
}

// windowDetail is a window with what is visible of it.
type windowDetail struct {
	windowItem
	Snapshot   int64                `json:"snapshot,omitempty"` // of the rows table
	Definition string               `json:"definition,omitempty"`
	Digest     string               `json:"digest,omitempty"`
	Source     []sourceItem         `json:"source"`
	Days       map[string]sheetItem `json:"days"` // the sheet by event day
}

type sourceItem struct {
	URI    string `json:"uri"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

func (s *Server) window(w http.ResponseWriter, r *http.Request) error {
	d, err := s.datasetOf(r)
	if err != nil {
		return err
	}
	key := r.PathValue("window")
	if _, err := window.Parse(key); err != nil {
		return bad("window", "%s", err)
	}
	v, err := s.view(r.Context())
	if err != nil {
		return err
	}
	all := windowsOf(v, d)
	i := slices.IndexFunc(all, func(item windowItem) bool { return item.Window == key })
	if i < 0 {
		return missing("window", "nothing is known of window %s of %s: it is not due yet, or is no window of its schedule (every %s)", key, d.Name, d.Collect.Every)
	}
	detail := windowDetail{windowItem: all[i], Source: []sourceItem{}, Days: map[string]sheetItem{}}
	stored, ok := facts.Get[events.Stored](v, events.Piece{Dataset: d.Name, Window: key, Generation: all[i].Visible})
	if ok {
		detail.Snapshot, detail.Definition, detail.Digest = stored.Snapshot, stored.Entry.Definition, stored.Entry.Digest
		for _, f := range stored.Entry.Pin.Files {
			detail.Source = append(detail.Source, sourceItem{f.URI, f.Bytes, f.Digest})
		}
		for day, c := range stored.Entry.Sheet {
			detail.Days[day] = newSheet(c)
		}
	}
	return answer(w, detail)
}
