package lineage

import (
	"fmt"
	"strconv"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/table"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// Verdict says what a query sees for one window.
type Verdict struct {
	// Inputs is the signature over everything that decides the result: the SQL text, the declared inputs, split and order, and the content
	// of each input. It changes if and only if one of them does: a restated event day changes the signatures of the
	// windows that see that day, and of no others; a new generation with equal rows changes none.
	Inputs string
	Seen   []Seen    // in the order of the declared inputs
	Absent []Absence // what must be there before the query may run, unless it is declared provisional
}

// Seen is what a query sees of one input.
type Seen struct {
	dataset.Input

	Signature string          // over its content
	Windows   []window.Window // needed and there, oldest first
}

// Absence is a window that a query needs and that is not there, or not up to date.
type Absence struct {
	Table  string `json:"table"`
	Window string `json:"window"`
	Reason string `json:"reason"` // missing, outdated or provisional
}

func (a Absence) String() string { return fmt.Sprintf("%s %s is %s", a.Table, a.Window, a.Reason) }

// Complete says whether nothing is absent.
func (v Verdict) Complete() bool { return len(v.Absent) == 0 }

// Tables lists what was seen with the snapshots it was seen at, as facts have it.
func (v Verdict) Tables(heads map[string]table.Head) []events.Input {
	inputs := make([]events.Input, len(v.Seen))
	for i, s := range v.Seen {
		inputs[i] = events.Input{Table: s.Table, Snapshot: heads[s.Table].Snapshot, Signature: s.Signature}
	}
	return inputs
}

// Attempt is what a stop of a query is about: the inputs, and how the result is made of them. What changes the latter alone changes no
// result, but may be the remedy.
func Attempt(q dataset.Query, inputs string) string {
	if q.PartBy == "" {
		return inputs
	}
	return events.Digest(inputs, q.PartBy, strconv.FormatInt(q.PartRows, 10))
}

// Judge decides whether a query of a dataset may run for a window, and over what.
//
// A window of an aggregate counts as there only if it was computed from what is known now: after a day was restated,
// a release waits until the weeks that hold the day are computed again.
// The error wraps events.ErrInvalid if the query names an input that the dataset does not have.
func Judge(d *dataset.Dataset, q dataset.Query, w window.Window, k Known) (Verdict, error) {
	return judge(d, q, w, k, len(d.Aggregates)+1)
}

func judge(d *dataset.Dataset, q dataset.Query, w window.Window, k Known, depth int) (Verdict, error) {
	memo := q.Name + "/" + w.Key()
	if v, ok := k.verdicts[memo]; ok {
		return v, nil
	}
	var v Verdict
	if depth == 0 {
		return v, fmt.Errorf("%w: %s: aggregates are inputs of each other", events.ErrInvalid, d.Name)
	}
	parts := []string{events.Digest(q.SQL), q.Split, events.Digest(q.OrderBy...)}
	for _, in := range q.Inputs {
		needed, err := Needed(d, in, w)
		if err != nil {
			return v, err
		}
		seen := Seen{Input: in}
		for _, n := range needed {
			reason, err := k.absence(d, q, in.Table, n, depth)
			if err != nil {
				return v, err
			}
			if reason != "" {
				v.Absent = append(v.Absent, Absence{in.Table, n.Key(), reason})
			}
			if reason != missing {
				seen.Windows = append(seen.Windows, n)
			}
		}
		if in.Table == table.Rows {
			seen.Signature = RowsSignature(in, w, seen.Windows, k.Rows)
		} else {
			seen.Signature = AggregateSignature(seen.Windows, k.Aggregates[in.Table])
		}
		v.Seen = append(v.Seen, seen)
		parts = append(parts, in.Table, in.Back.String(), seen.Signature)
	}
	for _, a := range v.Absent {
		parts = append(parts, a.String()) // so that what was made of an incomplete window is made again once it is complete
	}
	v.Inputs = events.Digest(parts...)
	if _, aggregate := Aggregate(d, q.Name); aggregate && k.verdicts != nil {
		k.verdicts[memo] = v
	}
	return v, nil
}

const (
	missing     = "missing"
	outdated    = "outdated"
	provisional = "provisional"
)

// absence says why a needed window does not count as there, or "".
func (k Known) absence(d *dataset.Dataset, q dataset.Query, name string, w window.Window, depth int) (string, error) {
	if name == table.Rows {
		if _, ok := k.Rows[w.Key()]; !ok {
			return missing, nil
		}
		return "", nil
	}
	entry, ok := k.Aggregates[name][w.Key()]
	if !ok {
		return missing, nil
	}
	aggregate, _ := Aggregate(d, name)
	v, err := judge(d, aggregate, w, k, depth-1)
	switch {
	case err != nil:
		return "", err
	case entry.Inputs != v.Inputs:
		return outdated, nil
	case entry.Provisional && !q.Provisional:
		return provisional, nil
	}
	return "", nil
}

// RowsSignature is the digest over the stored rows that a query may see for a window: for every event day of the span, in order,
// which of the collection windows hold how many rows of it, and their hash.
func RowsSignature(in dataset.Input, w window.Window, windows []window.Window, entries map[string]events.Entry) string {
	from, until := Span(in, w)
	first, end := window.DayKey(from), until
	held := map[string][]string{}
	for _, c := range windows {
		for day, counts := range entries[c.Key()].Sheet {
			if day >= first && day != events.UnknownDay && counts.Stored > 0 {
				held[day] = append(held[day], c.Key(), strconv.FormatInt(counts.Stored, 10), counts.Hash)
			}
		}
	}
	var parts []string
	for day := window.At(window.Day, from); day.Start.Before(end); day = day.Next() {
		if of, ok := held[day.Key()]; ok {
			parts = append(append(parts, day.Key()), of...)
		}
	}
	return events.Digest(parts...)
}

// AggregateSignature is the digest over the content of windows of an aggregate.
func AggregateSignature(windows []window.Window, entries map[string]AggregateEntry) string {
	parts := make([]string, 0, 2*len(windows))
	for _, w := range windows {
		parts = append(parts, w.Key(), entries[w.Key()].Digest)
	}
	return events.Digest(parts...)
}
