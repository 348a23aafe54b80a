package meter

import (
	"context"
	"sync"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// Observe counts what is said through the journal: rows, bytes, windows, releases, stops.
func Observe(j facts.Journal, m *Metrics) facts.Journal { return &observed{Journal: j, meter: m} }

type observed struct {
	facts.Journal

	meter *Metrics
	once  sync.Once
}

// Say implements facts.Journal.
func (o *observed) Say(ctx context.Context, evs ...events.Event) error {
	if err := o.Journal.Say(ctx, evs...); err != nil {
		return err
	}
	for _, ev := range evs {
		o.meter.said(ev)
	}
	return nil
}

// View implements facts.Journal. The first view tells which windows were stored before this process began.
func (o *observed) View(ctx context.Context) (*facts.View, error) {
	v, err := o.Journal.View(ctx)
	if err == nil {
		o.once.Do(func() {
			for _, f := range facts.All[events.Stored](v, "") {
				o.meter.stored(f.Piece)
			}
		})
	}
	return v, err
}

func (m *Metrics) said(ev events.Event) {
	switch f := deref(ev).(type) {
	case events.Collected:
		m.addBytes(f.Piece, "collect", f.Raw.Bytes)
	case events.Processed:
		m.addRows(f.Piece, "process", f.Sheet)
		m.addBytes(f.Piece, "process", f.Rows.Bytes+f.Quarantine.Bytes)
	case events.Validated:
		m.addRows(f.Piece, "validate", f.Sheet)
		m.addBytes(f.Piece, "validate", f.Rows.Bytes)
	case events.Staged:
		m.addBytes(f.Piece, "store", sum(f.Rows)+sum(f.Quarantine)+sum(f.Keys)+f.Raw.Bytes)
	case events.Stored:
		m.addRows(f.Piece, "store", f.Entry.Sheet)
		m.stored(f.Piece)
	case events.Aggregated:
		m.addBytes(f.Piece, "aggregate", sum(f.Files))
	case events.Released:
		m.addBytes(f.Piece, "deliver", f.Bytes)
		m.releases.WithLabelValues(f.Dataset, f.Name).Inc()
	case events.Stopped:
		m.stops.WithLabelValues(f.Dataset, f.Step, f.Reason).Inc()
	}
}

// addRows adds the sheet of a step: what process and validate pass on counts as stored.
func (m *Metrics) addRows(p events.Piece, step string, s events.Sheet) {
	t := s.Total()
	for outcome, n := range map[string]int64{
		"read": t.Read, "stored": t.Stored, "quarantined": t.Quarantined, "duplicate": t.Duplicate, "filtered": t.Filtered,
	} {
		m.rows.WithLabelValues(p.Dataset, step, outcome).Add(float64(max(n, 0)))
	}
}

func (m *Metrics) addBytes(p events.Piece, step string, n int64) {
	m.bytes.WithLabelValues(p.Dataset, step).Add(float64(max(n, 0)))
}

func (m *Metrics) stored(p events.Piece) {
	if w, err := window.Parse(p.Window); err == nil {
		m.lag.stored(p.Dataset, w.End)
	}
}

func sum(files []events.File) int64 {
	var n int64
	for _, f := range files {
		n += f.Bytes
	}
	return n
}

// deref lets one switch do for values and pointers: both implement events.Event.
func deref(ev events.Event) events.Event {
	switch f := ev.(type) {
	case *events.Collected:
		return *f
	case *events.Processed:
		return *f
	case *events.Validated:
		return *f
	case *events.Staged:
		return *f
	case *events.Stored:
		return *f
	case *events.Aggregated:
		return *f
	case *events.Released:
		return *f
	case *events.Stopped:
		return *f
	}
	return ev
}
