// Package snapshottest makes a small warehouse for tests of what computes over pinned tables: a real lake in a temporary folder, a real
// engine, and facts in memory.
package snapshottest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/duck"
	"github.com/almanac-data/almanac/functions/internal/facts/factstest"
	"github.com/almanac-data/almanac/functions/internal/lake"
	"github.com/almanac-data/almanac/functions/internal/snapshot"
	"github.com/almanac-data/almanac/functions/internal/table"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// World is where a test takes place.
type World struct {
	Root    string // of the warehouse
	Lake    *lake.Lake
	Engine  *duck.Engine
	Journal *factstest.Memory
	D       *dataset.Dataset
}

// Dataset finds the one dataset.
func (w *World) Dataset(name string) (*dataset.Dataset, error) {
	if name != w.D.Name {
		return nil, fmt.Errorf("%w: there is no dataset %q", events.ErrInvalid, name)
	}
	return w.D, nil
}

// New makes an empty warehouse for a dataset.
func New(tb testing.TB, d *dataset.Dataset) *World {
	tb.Helper()
	root := tb.TempDir()
	l, err := lake.Open(context.Background(), root)
	if err != nil {
		tb.Fatal(err)
	}
	e, err := duck.Open(duck.Options{Threads: 2, Dirs: []string{root}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(e.Close)
	return &World{Root: root, Lake: l, Engine: e, Journal: &factstest.Memory{}, D: d}
}

// Again is the same warehouse, with facts that start empty: what is left when Kafka is lost.
func (w *World) Again() *World {
	return &World{Root: w.Root, Lake: w.Lake, Engine: w.Engine, Journal: &factstest.Memory{}, D: w.D}
}

// StoreJSON stores a generation of a window, its rows given as a JSON list of objects of the contract's columns.
func (w *World) StoreJSON(tb testing.TB, key string, generation int, rows string) {
	tb.Helper()
	fields := block.Schema(w.D).Fields()
	batch, _, err := array.RecordFromJSON(memory.DefaultAllocator, arrow.NewSchema(fields[:len(fields)-1], nil), strings.NewReader(rows))
	if err != nil {
		tb.Fatal(err)
	}
	defer batch.Release()
	w.Store(tb, key, generation, batch)
}

// Store stores a generation of a window as store would: one file, and an entry with a balance sheet of its event days.
func (w *World) Store(tb testing.TB, key string, generation int, contract arrow.RecordBatch) {
	tb.Helper()
	ctx := context.Background()
	win, err := window.Parse(key)
	if err != nil {
		tb.Fatal(err)
	}
	schema := snapshot.RowsSchema(w.D)
	batch, sheet := system(w.D, win, generation, contract, schema)
	defer batch.Release()
	out := w.Lake.Parquet(ctx, path.Join(w.D.Name, table.Rows, "data", key), schema)
	err = out.Write(batch)
	files, ferr := out.Finish()
	digest := events.Digest()
	if len(files) > 0 {
		digest = files[0].Digest
	}
	entry, jerr := json.Marshal(events.Entry{Generation: generation, Definition: "definition", Digest: digest, Slices: 1, Sheet: sheet})
	if err := errors.Join(err, ferr, jerr); err != nil {
		tb.Fatal(err)
	}
	_, err = w.Lake.Replace(ctx, table.Replace{
		Table: table.Name{Dataset: w.D.Name, Table: table.Rows}, Schema: schema,
		Windows: []table.Content{{Window: win, Files: files, Entry: entry}},
	})
	if err != nil {
		tb.Fatal(err)
	}
}

func system(d *dataset.Dataset, w window.Window, generation int, contract arrow.RecordBatch, schema *arrow.Schema) (arrow.RecordBatch, events.Sheet) {
	n := int(contract.NumRows())
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(schema.Fields()[len(d.Columns):], nil))
	defer b.Release()
	times := contract.Column(contract.Schema().FieldIndices(d.Collect.EventTime)[0]).(*array.Timestamp)
	sheet := events.Sheet{}
	sums := map[string]uint64{}
	for i := range n {
		b.Field(0).(*array.TimestampBuilder).Append(times.Value(i))
		b.Field(1).(*array.TimestampBuilder).Append(arrow.Timestamp(w.End.UnixMicro()))
		b.Field(2).(*array.TimestampBuilder).Append(arrow.Timestamp(w.Start.UnixMicro()))
		b.Field(3).(*array.Int32Builder).Append(int32(generation))
		b.Field(4).(*array.Int32Builder).Append(1)
		b.Field(5).(*array.Int64Builder).Append(int64(i))
		h := fnv.New64a()
		for c := range contract.Columns() {
			_, _ = h.Write([]byte(contract.Column(c).ValueStr(i) + "\x00"))
		}
		day := window.DayKey(time.UnixMicro(int64(times.Value(i))))
		sums[day] += h.Sum64()
		sheet.Add(day, events.Counts{Read: 1, Stored: 1})
	}
	for day, sum := range sums {
		counts := sheet[day]
		counts.Hash = strconv.FormatUint(sum, 16)
		sheet[day] = counts
	}
	added := b.NewRecordBatch()
	defer added.Release()
	columns := append(append([]arrow.Array{}, contract.Columns()...), added.Columns()...)
	return array.NewRecordBatch(schema, columns, int64(n)), sheet
}

// Files lists the data files of a table at its head.
func (w *World) Files(tb testing.TB, name string) []events.File {
	tb.Helper()
	ctx := context.Background()
	tab := table.Name{Dataset: w.D.Name, Table: name}
	head, err := w.Lake.Head(ctx, tab)
	if err != nil {
		tb.Fatal(err)
	}
	var keys []string
	for key := range head.Entries {
		keys = append(keys, key)
	}
	files, err := w.Lake.Files(ctx, tab, head.Snapshot, keys)
	if err != nil {
		tb.Fatal(err)
	}
	return files
}

// Lines reads Parquet files of the warehouse, one line of JSON for each row.
func (w *World) Lines(tb testing.TB, files ...string) string {
	tb.Helper()
	var out strings.Builder
	for _, name := range files {
		r, err := w.Lake.Scan(context.Background(), name)
		if err != nil {
			tb.Fatal(err)
		}
		for r.Next() {
			if err := array.RecordToJSON(r.RecordBatch(), &out); err != nil {
				tb.Fatal(err)
			}
		}
		if err := errors.Join(r.Err(), r.Close()); err != nil {
			tb.Fatal(err)
		}
	}
	return out.String()
}

// Sub is a folder of the warehouse.
func (w *World) Sub(dir string) string { return path.Join(w.Root, dir) }

// Exists says whether a path of the warehouse is there.
func (w *World) Exists(name string) bool {
	_, err := os.Stat(w.Sub(name))
	return err == nil
}
