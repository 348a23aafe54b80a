package settle

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// Breach is a rule of the window that does not hold.
type Breach struct {
	Reason string // one word, for Stopped.Reason
	Detail string
}

// judge decides the window's rules over the whole of its staged slices. It returns the breaches that stop the window,
// and counts those of severity warning under their rule's name.
func judge(d *dataset.Dataset, w window.Window, slices []events.Staged, sheet events.Sheet, repeated map[string]int64) (stop []Breach, warned map[string]int64) {
	total := sheet.Total()
	warned = map[string]int64{}
	if b := budget(d.Reject, total, reasons(slices)); b != nil {
		stop = append(stop, *b)
	}
	for _, r := range d.Rules {
		if r.Scope != dataset.ScopeWindow {
			continue
		}
		detail := decide(r, w, slices, total, repeated)
		switch {
		case detail == "":
		case r.Severity == "warning":
			warned[r.Name]++
		default:
			stop = append(stop, Breach{"window_rule", fmt.Sprintf("rule %s (contract line %d): %s", r.Name, r.Line, detail)})
		}
	}
	return stop, warned
}

func decide(r dataset.Rule, w window.Window, slices []events.Staged, total events.Counts, repeated map[string]int64) string {
	switch r.Kind {
	case "row_count":
		return outside("rows", float64(total.Stored), r)
	case "null_share":
		var nulls int64
		for _, s := range slices {
			nulls += s.Nulls[r.Column]
		}
		if total.Stored == 0 {
			return ""
		}
		return outside("share of nulls in "+r.Column, float64(nulls)/float64(total.Stored), r)
	case "unique":
		if n := repeated[strings.Join(r.Columns, ",")]; n > 0 {
			return fmt.Sprintf("%d rows repeat a value of %s", n, strings.Join(r.Columns, ", "))
		}
	case "freshness":
		return stale(r, w, slices)
	}
	return ""
}

func outside(what string, got float64, r dataset.Rule) string {
	if r.Min != nil && got < *r.Min {
		return what + ": " + plain(got) + ", want at least " + plain(*r.Min)
	}
	if r.Max != nil && got > *r.Max {
		return what + ": " + plain(got) + ", want at most " + plain(*r.Max)
	}
	return ""
}

// plain writes a number without an exponent.
func plain(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func stale(r dataset.Rule, w window.Window, slices []events.Staged) string {
	var newest time.Time
	for _, s := range slices {
		if t, err := time.Parse(time.RFC3339Nano, s.Newest); err == nil && t.After(newest) {
			newest = t
		}
	}
	switch {
	case newest.IsZero():
		return fmt.Sprintf("no row at all, want one within %s of the window's end", r.Within)
	case w.End.Sub(newest) > r.Within:
		return fmt.Sprintf("the newest row is of %s, want one within %s of the window's end %s", newest.Format(time.RFC3339), r.Within, w.End.Format(time.RFC3339))
	}
	return ""
}

func budget(b dataset.Reject, total events.Counts, by map[string]int64) *Breach {
	refused := total.Quarantined
	if refused <= b.Rows || float64(refused) <= b.Share*float64(total.Read) {
		return nil
	}
	return &Breach{"reject_budget", fmt.Sprintf("%d of %d rows were refused (%.2f %%), the budget is %d rows or %.2f %%; top reasons: %s",
		refused, total.Read, 100*float64(refused)/float64(total.Read), b.Rows, 100*b.Share, top(by, 5))}
}

func reasons(slices []events.Staged) map[string]int64 {
	by := map[string]int64{}
	for _, s := range slices {
		for reason, n := range s.Reasons {
			by[reason] += n
		}
	}
	return by
}

// top names the n greatest counts, greatest first.
func top(by map[string]int64, n int) string {
	names := make([]string, 0, len(by))
	for name := range by {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool {
		if by[names[i]] != by[names[j]] {
			return by[names[i]] > by[names[j]]
		}
		return names[i] < names[j]
	})
	var parts []string
	for _, name := range names[:min(n, len(names))] {
		parts = append(parts, fmt.Sprintf("%s %d", name, by[name]))
	}
	return strings.Join(parts, ", ")
}
