package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/almanac-data/almanac/tests/internal/gauge"
)

// report is all that was measured.
type report struct {
	Machine  string     `json:"machine"`
	Took     float64    `json:"took_seconds"`
	Compared []compared `json:"compared"`
}

// compared is one piece of work, done by both in turn. Figures are net of what it takes to start; the starts stand beside them.
type compared struct {
	Name   string         `json:"name"`
	Peer   string         `json:"peer"`
	Units  float64        `json:"units"` // of work in one round
	Unit   string         `json:"unit"`
	Goal   float64        `json:"goal"` // times the peer's speed
	Ours   []gauge.Figure `json:"ours"`
	Theirs []gauge.Figure `json:"theirs"`
	// Starts are commands that had nothing to do, or next to nothing: CPU seconds of them are taken off, and wall time where the command does not tell it itself.
	OurStart   []gauge.Figure `json:"our_start,omitempty"`
	TheirStart []gauge.Figure `json:"their_start,omitempty"`
}

// String is the report as a table.
func (r report) String() string {
	var out strings.Builder
	fmt.Fprintf(&out, "\n%s; in %.0fs\n\n", r.Machine, r.Took)
	w := tabwriter.NewWriter(&out, 0, 4, 2, ' ', tabwriter.AlignRight)
	row := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) } // to memory
	row("work\tbeside\t\tours min\tmedian\tpeer min\tmedian\tpeer/ours min\tmedian\tgoal\t\n")
	for _, c := range r.Compared {
		for i, q := range gauge.Quantities {
			name, peer, goal := "", "", ""
			if i == 0 {
				name, peer, goal = c.Name, c.Peer, fmt.Sprintf("%.2f", c.Goal)
			}
			ours, theirs := gauge.Least(c.Ours, q.Of), gauge.Least(c.Theirs, q.Of)
			ours2, theirs2 := gauge.Median(c.Ours, q.Of), gauge.Median(c.Theirs, q.Of)
			row("%s\t%s\t%s\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%s\t\n", name, peer, q.Name, ours, ours2, theirs, theirs2, theirs/ours, theirs2/ours2, goal)
		}
		wall := gauge.Quantities[0].Of
		rate := func(all []gauge.Figure) float64 { return c.Units / gauge.Least(all, wall) }
		row("\t\t%s/s\t%.0f\t\t%.0f\t\t\t\t\t\n", c.Unit, rate(c.Ours), rate(c.Theirs))
	}
	_ = w.Flush()
	return out.String()
}

// less is what a run took without a start.
func less(f gauge.Figure, starts []gauge.Figure) gauge.Figure {
	f.CPU -= gauge.Median(starts, gauge.Quantities[1].Of)
	return f
}
