package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
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
	Name   string   `json:"name"`
	Rows   int64    `json:"rows"`
	Ours   []figure `json:"ours"`
	Theirs []figure `json:"theirs"`
	// Start is what almanac run takes on the same state when nothing is to do: to start, look, and end.
	Start []figure `json:"start,omitempty"`
}

// memory is the peak of one size.
type memory struct {
	Rows   int64  `json:"rows"`
	Figure figure `json:"figure"`
}

func machine() string {
	name := "unknown processor"
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		defer func() { _ = f.Close() }()
		for s := bufio.NewScanner(f); s.Scan(); {
			if _, value, ok := strings.Cut(s.Text(), "model name\t: "); ok {
				name = value
				break
			}
		}
	}
	return fmt.Sprintf("%d × %s, %s, %s/%s", runtime.NumCPU(), name, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// least and median of one quantity of the figures.
func least(all []figure, of func(figure) float64) float64 { return sorted(all, of)[0] }

func median(all []figure, of func(figure) float64) float64 {
	s := sorted(all, of)
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

func sorted(all []figure, of func(figure) float64) []float64 {
	values := make([]float64, len(all))
	for i, f := range all {
		values[i] = of(f)
	}
	slices.SortFunc(values, cmp.Compare)
	return values
}

var quantities = []struct {
	name string
	of   func(figure) float64
}{
	{"wall s", func(f figure) float64 { return f.Wall }},
	{"CPU s", func(f figure) float64 { return f.CPU }},
	{"peak MB", func(f figure) float64 { return float64(f.Peak) / (1 << 20) }},
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
		for i, q := range quantities {
			name, rows := "", ""
			if i == 0 {
				name, rows = c.Name, fmt.Sprint(c.Rows)
			}
			ours, theirs := least(c.Ours, q.of), least(c.Theirs, q.of)
			ours2, theirs2 := median(c.Ours, q.of), median(c.Theirs, q.of)
			rowf(w, "%s\t%s\t%s\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t\n", name, rows, q.name, ours, ours2, theirs, theirs2, ours/theirs, ours2/theirs2)
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
	for _, q := range quantities[:2] {
		start := median(c.Start, q.of)
		ours, theirs := least(c.Ours, q.of)-start, least(c.Theirs, q.of)
		ours2, theirs2 := median(c.Ours, q.of)-start, median(c.Theirs, q.of)
		rowf(w, "less the start of %.2f\t\t%s\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t\n", start, q.name, ours, ours2, theirs, theirs2, ours/theirs, ours2/theirs2)
	}
}
