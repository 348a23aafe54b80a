// Package gauge holds what measurements share: what a run took, and the least and the median of several.
package gauge

import (
	"bufio"
	"cmp"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/almanac-data/almanac/tests/internal/box"
)

// Figure is what one run took.
type Figure struct {
	Wall float64 `json:"wall_seconds"`
	CPU  float64 `json:"cpu_seconds"`
	Peak int64   `json:"peak_bytes"`
}

// Of is the figure of a command that has ended.
func Of(r box.Result) Figure { return Figure{r.Wall.Seconds(), r.CPU.Seconds(), r.PeakRSS} }

// Quantity is one number of a figure.
type Quantity struct {
	Name string
	Of   func(Figure) float64
}

// Quantities are all of them.
var Quantities = []Quantity{
	{"wall s", func(f Figure) float64 { return f.Wall }},
	{"CPU s", func(f Figure) float64 { return f.CPU }},
	{"peak MB", func(f Figure) float64 { return float64(f.Peak) / (1 << 20) }},
}

// Least is the least of one quantity of the figures.
func Least(all []Figure, of func(Figure) float64) float64 { return sorted(all, of)[0] }

// Median is the median of one quantity of the figures.
func Median(all []Figure, of func(Figure) float64) float64 {
	s := sorted(all, of)
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

func sorted(all []Figure, of func(Figure) float64) []float64 {
	values := make([]float64, len(all))
	for i, f := range all {
		values[i] = of(f)
	}
	slices.SortFunc(values, cmp.Compare)
	return values
}

// Machine says what all this ran on.
func Machine() string {
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
