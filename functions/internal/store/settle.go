package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/store/layout"
	"github.com/almanac-data/almanac/functions/internal/table"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// settled is what the whole of a window comes to.
type settled struct {
	digest     string
	rows       []events.File
	quarantine []events.File
	sheet      events.Sheet
	reasons    map[string]int64
	stop       []breach
}

// settle sums the slices, drops the rows that repeat the primary key, and judges the rules of the window.
func (s *Store) settle(ctx context.Context, d *dataset.Dataset, w window.Window, staged []events.Staged) (settled, error) {
	whole := settled{digest: events.GenerationDigest(staged), sheet: events.Sheet{}, reasons: reasons(staged)}
	again, repeated, err := s.repeated(ctx, d, staged)
	if err != nil {
		return whole, err
	}
	kept := slices.Clone(staged)
	for i, slice := range kept {
		if drop := again[i]; len(drop) > 0 {
			if slice, err = s.without(ctx, d, w, slice, drop); err != nil {
				return whole, fmt.Errorf("drop duplicates of slice %d: %w", i+1, err)
			}
			kept[i] = slice
		}
		whole.rows = append(whole.rows, slice.Rows...)
		whole.quarantine = append(whole.quarantine, slice.Quarantine...)
		for day, counts := range slice.Sheet {
			sum := whole.sheet[day].Add(counts)
			sum.Hash = addHashes(whole.sheet[day].Hash, counts.Hash)
			whole.sheet[day] = sum
		}
	}
	for _, day := range slices.Sorted(maps.Keys(whole.sheet)) {
		if counts := whole.sheet[day]; !counts.Balanced() {
			whole.stop = append(whole.stop, breach{"unbalanced", fmt.Sprintf("the sheet of %s does not balance: read %d, stored %d, quarantined %d, duplicate %d, filtered %d",
				day, counts.Read, counts.Stored, counts.Quarantined, counts.Duplicate, counts.Filtered)})
		}
	}
	stop, warned := judge(d, w, kept, whole.sheet, repeated)
	for rule, n := range warned {
		whole.reasons[rule] += n
	}
	whole.stop = append(whole.stop, stop...)
	return whole, nil
}

// repeated finds, per slice, the ordinals that repeat the primary key, and per unique rule the number of repeats among the other rows.
func (s *Store) repeated(ctx context.Context, d *dataset.Dataset, staged []events.Staged) (again map[int][]int64, counts map[string]int64, err error) {
	counts = map[string]int64{}
	for k, columns := range uniqueKeys(d) {
		found, err := s.merge(ctx, staged, k, again)
		if err != nil {
			return nil, nil, err
		}
		if k == 0 && len(d.Key) > 0 {
			again = found
			continue
		}
		var n int64
		for _, ordinals := range found {
			n += int64(len(ordinals))
		}
		counts[strings.Join(columns, ",")] = n
	}
	return again, counts, nil
}

func (s *Store) merge(ctx context.Context, staged []events.Staged, key int, skip map[int][]int64) (_ map[int][]int64, err error) {
	files := make([]keyFile, len(staged))
	for i, slice := range staged {
		if key >= len(slice.Keys) {
			return nil, fmt.Errorf("%w: slice %d has no key file %d", events.ErrInvalid, i+1, key)
		}
		f, err := s.Opener.Open(ctx, slice.Keys[key].Path)
		if err != nil {
			return nil, fmt.Errorf("open keys: %w", err)
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		files[i] = keyFile{f, slice.Keys[key].Rows, skip[i]}
	}
	return repeats(files)
}

// without writes the rows of a slice again, less those of the given sorted ordinals, and moves their counts to duplicate.
func (s *Store) without(ctx context.Context, d *dataset.Dataset, w window.Window, slice events.Staged, drop []int64) (_ events.Staged, err error) {
	out := s.Files.Parquet(ctx, layout.Data(d.Name, table.Rows, w), layout.Rows(d))
	defer func() { err = errors.Join(err, out.Abort()) }()
	schema := block.Schema(d)
	t := newTally(d, schema)
	t.keys = nil
	sys := layout.System{Dataset: d, Window: w, Generation: slice.Generation, Slice: slice.Slice}
	columns := make([]string, 0, schema.NumFields())
	for _, f := range schema.Fields() {
		columns = append(columns, f.Name)
	}
	for _, file := range slice.Rows {
		if err := s.filter(ctx, file.Path, columns, drop, func(kept arrow.RecordBatch) error {
			t.add(kept)
			full := sys.Rows(kept)
			defer full.Release()
			return out.Write(full)
		}); err != nil {
			return slice, err
		}
	}
	if slice.Rows, err = out.Finish(); err != nil {
		return slice, err
	}
	slice.Newest, slice.Nulls = t.newestTime(), t.nulls
	slice.Sheet, err = t.deduplicated(slice.Sheet)
	return slice, err
}

// deduplicated is the sheet after duplicates are dropped: what is no longer stored is a duplicate.
func (t *tally) deduplicated(before events.Sheet) (events.Sheet, error) {
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

// filter reads a file of rows and hands on each batch less the rows whose ordinal is in drop (sorted), in the given columns.
func (s *Store) filter(ctx context.Context, path string, columns []string, drop []int64, keep func(arrow.RecordBatch) error) (err error) {
	r, err := s.Files.Scan(ctx, path, columns...)
	if err != nil {
		return fmt.Errorf("read rows: %w", err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	for r.Next() {
		batch := r.RecordBatch()
		ordinals := batch.Column(int(batch.NumCols()) - 1).(*array.Int64).Int64Values()
		var rest []arrow.RecordBatch
		from := 0
		for i, ordinal := range ordinals {
			if _, gone := slices.BinarySearch(drop, ordinal); gone {
				if i > from {
					rest = append(rest, batch.NewSlice(int64(from), int64(i)))
				}
				from = i + 1
			}
		}
		if from < len(ordinals) {
			rest = append(rest, batch.NewSlice(int64(from), int64(len(ordinals))))
		}
		if err := joined(rest, batch.Schema(), keep); err != nil {
			return err
		}
	}
	return r.Err()
}

// joined hands on the parts of one batch as one batch, and releases them.
func joined(parts []arrow.RecordBatch, schema *arrow.Schema, keep func(arrow.RecordBatch) error) error {
	if len(parts) == 0 {
		return nil
	}
	defer func() {
		for _, p := range parts {
			p.Release()
		}
	}()
	columns := make([]arrow.Array, schema.NumFields())
	var rows int64
	for c := range columns {
		chunks := make([]arrow.Array, len(parts))
		for i, p := range parts {
			chunks[i] = p.Column(c)
		}
		col, err := array.Concatenate(chunks, memory.DefaultAllocator)
		if err != nil {
			return err
		}
		defer col.Release()
		columns[c] = col
		rows = int64(col.Len())
	}
	batch := array.NewRecordBatch(schema, columns, rows)
	defer batch.Release()
	return keep(batch)
}

// addHashes adds two sums of row hashes, in hex, modulo 2^64.
func addHashes(a, b string) string {
	x, _ := strconv.ParseUint(a, 16, 64)
	y, _ := strconv.ParseUint(b, 16, 64)
	if a == "" && b == "" {
		return ""
	}
	return strconv.FormatUint(x+y, 16)
}
