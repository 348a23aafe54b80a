// Package tally counts the rows that are written.
package tally

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/store/key"
	"github.com/almanac-data/almanac/functions/internal/store/layout"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// Tally counts what is really written, independent of what earlier steps say.
type Tally struct {
	Nulls map[string]int64 // by column, of those that a rule asks for
	Keys  []*key.Set       // one for each of key.Of; none to gather no keys

	d      *dataset.Dataset
	days   map[int64]*day
	newest int64
	hashes []uint64
}

const microsPerDay = 24 * 60 * 60 * 1_000_000

type day struct {
	rows int64
	hash uint64 // sum of row hashes: does not depend on the order
}

// New is for batches of the block schema.
func New(d *dataset.Dataset, schema *arrow.Schema) *Tally {
	t := &Tally{d: d, days: map[int64]*day{}, newest: math.MinInt64}
	for _, r := range d.Rules {
		if r.Kind == "null_share" {
			if t.Nulls == nil {
				t.Nulls = map[string]int64{}
			}
			t.Nulls[r.Column] = 0
		}
	}
	for _, columns := range key.Of(d) {
		t.Keys = append(t.Keys, key.NewSet(columns, schema))
	}
	return t
}

// Add counts the rows of a batch of the block schema.
func (t *Tally) Add(batch arrow.RecordBatch) {
	n := int(batch.NumRows())
	if cap(t.hashes) < n {
		t.hashes = make([]uint64, n)
	}
	h := t.hashes[:n]
	clear(h)
	for i := range t.d.Columns {
		key.Hash(h, batch.Column(i))
	}
	times := layout.EventTimes(t.d, batch)
	defer times.Release()
	var today *day
	lo, hi := int64(0), int64(0) // bounds of today
	for i, v := range times.(*array.Timestamp).TimestampValues() {
		micros := int64(v)
		if today == nil || micros < lo || micros >= hi {
			today, lo = t.day(micros)
			hi = lo + microsPerDay
		}
		today.rows++
		today.hash += h[i]
		t.newest = max(t.newest, micros)
	}
	for column := range t.Nulls {
		t.Nulls[column] += int64(batch.Column(batch.Schema().FieldIndices(column)[0]).NullN())
	}
	for _, k := range t.Keys {
		k.Add(batch)
	}
}

func (t *Tally) day(micros int64) (*day, int64) {
	start := micros - ((micros%microsPerDay)+microsPerDay)%microsPerDay
	if t.days[start] == nil {
		t.days[start] = &day{}
	}
	return t.days[start], start
}

// Sheet adds the hashes to the sheet of validate; a day whose count differs from what was written is an error.
func (t *Tally) Sheet(said events.Sheet) (events.Sheet, error) {
	sheet := events.Sheet{}
	sheet.Merge(said)
	for start, d := range t.days {
		key := dayKey(start)
		counts := sheet[key]
		if counts.Stored != d.rows {
			return nil, fmt.Errorf("%d rows of %s were written, but the sheet says %d", d.rows, key, counts.Stored)
		}
		counts.Hash = strconv.FormatUint(d.hash, 16)
		sheet[key] = counts
	}
	for key, counts := range sheet {
		if counts.Stored > 0 && counts.Hash == "" {
			return nil, fmt.Errorf("no row of %s was written, but the sheet says %d", key, counts.Stored)
		}
	}
	return sheet, nil
}

// Deduplicated is the sheet after duplicates are dropped: what is no longer stored is a duplicate.
func (t *Tally) Deduplicated(before events.Sheet) (events.Sheet, error) {
	sheet := events.Sheet{}
	for day, counts := range before {
		counts.Duplicate += counts.Stored
		counts.Stored, counts.Hash = 0, ""
		sheet[day] = counts
	}
	for start, d := range t.days {
		day := dayKey(start)
		counts, ok := sheet[day]
		if !ok || counts.Duplicate < d.rows {
			return nil, fmt.Errorf("%w: %d rows of %s are kept, but fewer were there", events.ErrInvalid, d.rows, day)
		}
		counts.Stored, counts.Hash = d.rows, strconv.FormatUint(d.hash, 16)
		counts.Duplicate -= d.rows
		sheet[day] = counts
	}
	return sheet, nil
}

// Newest is the newest event time, as RFC 3339 has it; empty without a row.
func (t *Tally) Newest() string {
	if t.newest == math.MinInt64 {
		return ""
	}
	return time.UnixMicro(t.newest).UTC().Format(time.RFC3339Nano)
}

func dayKey(micros int64) string { return window.DayKey(time.UnixMicro(micros)) }
