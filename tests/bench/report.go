package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/almanac-data/almanac/tests/internal/gauge"
)

// report is all that was measured.
type report struct {
	Machine  string     `json:"machine"`
	Took     float64    `json:"took_seconds"`
	Compared []compared `json:"compared"`
	Memory   []memory   `json:"memory"`
}

// compared is one piece of work, done by both in turn.
type compared struct {
	Name   string         `json:"name"`
	Rows   int64          `json:"rows"`
	Ours   []gauge.Figure `json:"ours"`
	Theirs []gauge.Figure `json:"theirs"`
	// Start is what almanac run takes on the same state when nothing is to do: to start, look, and end.
	Start []gauge.Figure `json:"start,omitempty"`
}

// memory is the peak of one size.
type memory struct {
	Rows   int64        `json:"rows"`
	Figure gauge.Figure `json:"figure"`
}

// String is the report as tables.
func (r report) String() string {
	var out strings.Builder
	fmt.Fprintf(&out, "\n%s; in %.0fs\n\n", r.Machine, r.Took)
	w := tabwriter.NewWriter(&out, 0, 4, 2, ' ', tabwriter.AlignRight)
	if len(r.Compared) > 0 {
		rowf(w, "work\trows\t\tours min\tmedian\tDuckDB min\tmedian\tratio of minima\tof medians\t\n")
	}
	for _, c := range r.Compared {
		for i, q := range gauge.Quantities {
			name, rows := "", ""
			if i == 0 {
				name, rows = c.Name, fmt.Sprint(c.Rows)
			}
			ours, theirs := gauge.Least(c.Ours, q.Of), gauge.Least(c.Theirs, q.Of)
			ours2, theirs2 := gauge.Median(c.Ours, q.Of), gauge.Median(c.Theirs, q.Of)
			rowf(w, "%s\t%s\t%s\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t\n", name, rows, q.Name, ours, ours2, theirs, theirs2, ours/theirs, ours2/theirs2)
		}
		r.net(w, c)
	}
	_ = w.Flush()
	for _, m := range r.Memory {
		fmt.Fprintf(&out, "ingest of %10d rows: %6.2f s, %6.2f CPU s, peak %4d MB\n", m.Rows, m.Figure.Wall, m.Figure.CPU, m.Figure.Peak>>20)
	}
	return out.String()
}

// rowf adds a line to a table, which keeps it in memory.
func rowf(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }

// net tells the ratios without what it takes to start.
func (r report) net(w io.Writer, c compared) {
	if len(c.Start) == 0 {
		return
	}
	for _, q := range gauge.Quantities[:2] {
		start := gauge.Median(c.Start, q.Of)
		ours, theirs := gauge.Least(c.Ours, q.Of)-start, gauge.Least(c.Theirs, q.Of)
		ours2, theirs2 := gauge.Median(c.Ours, q.Of)-start, gauge.Median(c.Theirs, q.Of)
		rowf(w, "less the start of %.2f\t\t%s\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t\n", start, q.Name, ours, ours2, theirs, theirs2, ours/theirs, ours2/theirs2)
	}
}
