// Package lineage decides what a query sees: which windows it needs, whether they are all there, and a signature over their
// content. It is what calendar, aggregate and deliver agree by. Plain values, no I/O.
package lineage

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/table"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// AggregateEntry is what the map of an aggregate's table says of one window.
type AggregateEntry struct {
	Inputs      string         `json:"inputs"`     // the Verdict's, when it was computed
	Definition  string         `json:"definition"` // digest of the SQL text
	Digest      string         `json:"digest"`     // of the files: equal for equal content
	Rows        int64          `json:"rows"`
	Files       []events.File  `json:"files"`
	Tables      []events.Input `json:"tables"`
	Provisional bool           `json:"provisional,omitempty"`
}

// Known is what tables hold, each by the key of its windows: from the maps of pinned snapshots where something is computed,
// or from facts where it is only planned.
type Known struct {
	Rows       map[string]events.Entry
	Aggregates map[string]map[string]AggregateEntry // by the name of the aggregate

	verdicts map[string]Verdict // of aggregates, by name and window
}

// Memoized remembers what was judged of aggregates, for one who judges many queries that share them. What is known must not be
// changed from then on, and only one goroutine may use it.
func (k Known) Memoized() Known {
	k.verdicts = map[string]Verdict{}
	return k
}

// Read decodes the maps of tables, by their names. A table that heads does not have holds nothing.
func Read(heads map[string]table.Head) (Known, error) {
	k := Known{Rows: map[string]events.Entry{}, Aggregates: map[string]map[string]AggregateEntry{}}
	for name, head := range heads {
		entries := map[string]AggregateEntry{}
		for key, raw := range head.Entries {
			var err error
			if name == table.Rows {
				var e events.Entry
				err = json.Unmarshal(raw, &e)
				k.Rows[key] = e
			} else {
				var e AggregateEntry
				err = json.Unmarshal(raw, &e)
				entries[key] = e
			}
			if err != nil {
				return k, fmt.Errorf("read the map of %s: window %s: %w", name, key, err)
			}
		}
		if name != table.Rows {
			k.Aggregates[name] = entries
		}
	}
	return k, nil
}

// Span is the time that a query may see of an input for a window: [start - back, end).
func Span(in dataset.Input, w window.Window) (from, until time.Time) {
	return w.Start.Add(-in.Back), w.End
}

// Needed lists the windows of an input that a query needs for one of its windows, oldest first.
//
// Of rows these are the collection windows that may hold rows with an event time in the span: those that touch it, and later ones
// as far as the lateness allowed. Of an aggregate they are its windows that lie wholly in the span.
// None starts before the dataset's first collection window or ends after its last.
func Needed(d *dataset.Dataset, in dataset.Input, w window.Window) ([]window.Window, error) {
	from, until := Span(in, w)
	if in.Table == table.Rows {
		var all []window.Window
		for _, c := range window.Covering(d.Collect.Every, from, until.Add(d.Collect.Lateness)) {
			if within(d.Collect, c) {
				all = append(all, c)
			}
		}
		return all, nil
	}
	aggregate, ok := Aggregate(d, in.Table)
	if !ok {
		return nil, fmt.Errorf("%w: %s has no aggregate %q", events.ErrInvalid, d.Name, in.Table)
	}
	var all []window.Window
	for _, a := range window.Between(aggregate.Every, from, until) {
		if within(d.Collect, a) {
			all = append(all, a)
		}
	}
	return all, nil
}

func within(c dataset.Collect, w window.Window) bool {
	return !w.Start.Before(c.Start) && (c.End.IsZero() || !w.End.After(c.End))
}

// Aggregate finds an aggregate of a dataset by name.
func Aggregate(d *dataset.Dataset, name string) (dataset.Query, bool) {
	return find(d.Aggregates, name)
}

// Release finds a release of a dataset by name.
func Release(d *dataset.Dataset, name string) (dataset.Query, bool) { return find(d.Releases, name) }

func find(queries []dataset.Query, name string) (dataset.Query, bool) {
	for _, q := range queries {
		if q.Name == name {
			return q, true
		}
	}
	return dataset.Query{}, false
}
