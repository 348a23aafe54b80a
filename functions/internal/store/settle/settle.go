// Package settle decides what the whole of a window comes to, once all of its slices are staged.
package settle

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	"github.com/almanac-data/almanac/functions/internal/store/key"
	"github.com/almanac-data/almanac/functions/internal/store/layout"
	"github.com/almanac-data/almanac/functions/internal/store/tally"
	"github.com/almanac-data/almanac/functions/internal/table"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// Files is where data files are read, and written again: the warehouse.
type Files interface {
	// Parquet starts data files in a folder.
	Parquet(ctx context.Context, dir string, schema *arrow.Schema) table.Writer
	// Scan reads columns (nil for all) of a Parquet file, batch by batch, in the order of its rows.
	Scan(ctx context.Context, path string, columns ...string) (table.Reader, error)
}

// Opener opens the key files of slices.
type Opener interface {
	Open(ctx context.Context, path string) (io.ReadCloser, error)
}

// Whole is what the whole of a window comes to.
type Whole struct {
	Digest     string
	Rows       []events.File
	Quarantine []events.File
	Sheet      events.Sheet
	Reasons    map[string]int64 // how often each refused a row, or warned
	Stop       []Breach         // why the window stops; none if it does not
}

// Settler settles windows.
type Settler struct {
	Files  Files
	Opener Opener
}

// Settle sums the slices, drops the rows that repeat the primary key, and judges the rules of the window.
func (s *Settler) Settle(ctx context.Context, d *dataset.Dataset, w window.Window, staged []events.Staged) (Whole, error) {
	whole := Whole{Digest: events.GenerationDigest(staged), Sheet: events.Sheet{}, Reasons: reasons(staged)}
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
		whole.Rows = append(whole.Rows, slice.Rows...)
		whole.Quarantine = append(whole.Quarantine, slice.Quarantine...)
		for day, counts := range slice.Sheet {
			sum := whole.Sheet[day].Add(counts)
			sum.Hash = addHashes(whole.Sheet[day].Hash, counts.Hash)
			whole.Sheet[day] = sum
		}
	}
	for _, day := range slices.Sorted(maps.Keys(whole.Sheet)) {
		if counts := whole.Sheet[day]; !counts.Balanced() {
			whole.Stop = append(whole.Stop, Breach{"unbalanced", fmt.Sprintf("the sheet of %s does not balance: read %d, stored %d, quarantined %d, duplicate %d, filtered %d",
				day, counts.Read, counts.Stored, counts.Quarantined, counts.Duplicate, counts.Filtered)})
		}
	}
	stop, warned := judge(d, w, kept, whole.Sheet, repeated)
	for rule, n := range warned {
		whole.Reasons[rule] += n
	}
	whole.Stop = append(whole.Stop, stop...)
	return whole, nil
}

// repeated finds, per slice, the ordinals that repeat the primary key, and per unique rule the number of repeats among the other rows.
func (s *Settler) repeated(ctx context.Context, d *dataset.Dataset, staged []events.Staged) (again map[int][]int64, counts map[string]int64, err error) {
	counts = map[string]int64{}
	for k, columns := range key.Of(d) {
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

func (s *Settler) merge(ctx context.Context, staged []events.Staged, k int, skip map[int][]int64) (_ map[int][]int64, err error) {
	files := make([]key.File, len(staged))
	for i, slice := range staged {
		if k >= len(slice.Keys) {
			return nil, fmt.Errorf("%w: slice %d has no key file %d", events.ErrInvalid, i+1, k)
		}
		f, err := s.Opener.Open(ctx, slice.Keys[k].Path)
		if err != nil {
			return nil, fmt.Errorf("open keys: %w", err)
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		files[i] = key.File{Reader: f, Entries: slice.Keys[k].Rows, Skip: skip[i]}
	}
	return key.Repeats(files)
}

// without writes the rows of a slice again, less those of the given sorted ordinals, and moves their counts to duplicate.
func (s *Settler) without(ctx context.Context, d *dataset.Dataset, w window.Window, slice events.Staged, drop []int64) (_ events.Staged, err error) {
	out := s.Files.Parquet(ctx, layout.Data(d.Name, table.Rows, w), layout.Rows(d))
	defer func() { err = errors.Join(err, out.Abort()) }()
	schema := block.Schema(d)
	t := tally.New(d, schema)
	t.Keys = nil
	sys := layout.System{Dataset: d, Window: w, Generation: slice.Generation, Slice: slice.Slice}
	columns := make([]string, 0, schema.NumFields())
	for _, f := range schema.Fields() {
		columns = append(columns, f.Name)
	}
	for _, file := range slice.Rows {
		if err := s.filter(ctx, file.Path, columns, drop, func(kept arrow.RecordBatch) error {
			t.Add(kept)
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
	slice.Newest, slice.Nulls = t.Newest(), t.Nulls
	slice.Sheet, err = t.Deduplicated(slice.Sheet)
	return slice, err
}

// filter reads a file of rows and hands on each batch less the rows whose ordinal is in drop (sorted), in the given columns.
func (s *Settler) filter(ctx context.Context, path string, columns []string, drop []int64, keep func(arrow.RecordBatch) error) (err error) {
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
