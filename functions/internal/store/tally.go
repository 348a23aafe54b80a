package store

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/store/layout"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// tally counts what is really written, independent of what earlier steps say.
type tally struct {
	d      *dataset.Dataset
	days   map[int64]*day
	newest int64
	nulls  map[string]int64
	keys   []*keySet
	hashes []uint64
}

const microsPerDay = 24 * 60 * 60 * 1_000_000

type day struct {
	rows int64
	hash uint64 // sum of row hashes: does not depend on the order
}

func newTally(d *dataset.Dataset, schema *arrow.Schema) *tally {
	t := &tally{d: d, days: map[int64]*day{}, newest: math.MinInt64}
	for _, r := range d.Rules {
		if r.Kind == "null_share" {
			if t.nulls == nil {
				t.nulls = map[string]int64{}
			}
			t.nulls[r.Column] = 0
		}
	}
	for _, columns := range uniqueKeys(d) {
		t.keys = append(t.keys, newKeySet(columns, schema))
	}
	return t
}

// uniqueKeys lists the column sets that must be unique in a window: the primary key, if there is one, before the unique rules.
func uniqueKeys(d *dataset.Dataset) [][]string {
	var keys [][]string
	if len(d.Key) > 0 {
		keys = append(keys, d.Key)
	}
	for _, r := range uniqueRules(d) {
		keys = append(keys, r.Columns)
	}
	return keys
}

// uniqueRules lists the rules that stop a window or warn. One over the primary key is not among them: rows that repeat the key are
// dropped and counted as duplicates, so that it always holds.
func uniqueRules(d *dataset.Dataset) []dataset.Rule {
	var rules []dataset.Rule
	for _, r := range d.Rules {
		if r.Kind == "unique" && !slices.Equal(r.Columns, d.Key) {
			rules = append(rules, r)
		}
	}
	return rules
}

// add counts the rows of a batch of the block schema.
func (t *tally) add(batch arrow.RecordBatch) {
	n := int(batch.NumRows())
	if cap(t.hashes) < n {
		t.hashes = make([]uint64, n)
	}
	h := t.hashes[:n]
	clear(h)
	for i := range t.d.Columns {
		hashRows(h, batch.Column(i))
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
	for column := range t.nulls {
		t.nulls[column] += int64(batch.Column(batch.Schema().FieldIndices(column)[0]).NullN())
	}
	for _, k := range t.keys {
		k.add(batch)
	}
}

func (t *tally) day(micros int64) (*day, int64) {
	start := micros - ((micros%microsPerDay)+microsPerDay)%microsPerDay
	if t.days[start] == nil {
		t.days[start] = &day{}
	}
	return t.days[start], start
}

// sheet adds the hashes to the sheet of validate; a day whose count differs from what was written is an error.
func (t *tally) sheet(said events.Sheet) (events.Sheet, error) {
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

func (t *tally) newestTime() string {
	if t.newest == math.MinInt64 {
		return ""
	}
	return time.UnixMicro(t.newest).UTC().Format(time.RFC3339Nano)
}

func dayKey(micros int64) string { return window.DayKey(time.UnixMicro(micros)) }
