// Package laketest is the conformance suite of a warehouse: what every implementation must hold to.
package laketest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/lake"
	"github.com/almanac-data/almanac/functions/internal/table"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// Open opens the warehouse of a folder; several may be open at once, as if by several processes.
type Open func(tb testing.TB, dir string) *lake.Lake

// Run runs the whole suite.
func Run(t *testing.T, open Open) {
	t.Helper()
	run(t, open, 1)
}

// RunSlow runs the whole suite with a quarter of the commits where there are many, for a file system of which each step is slow.
func RunSlow(t *testing.T, open Open) {
	t.Helper()
	run(t, open, 4)
}

// run runs the suite; where there are many commits it does one of so many of them.
func run(t *testing.T, open Open, of int) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Open){
		"a finished file has the digest for a name":              finish,
		"an aborted file leaves nothing":                         abort,
		"no path leaves the warehouse":                           escape,
		"a folder is published once":                             publish,
		"a file is written under a free name once":               writeNew,
		"a missing table has an empty head":                      missing,
		"a window is replaced whole":                             replaceWindow,
		"several windows are replaced in one commit":             replaceWindows,
		"a window may have no files":                             empty,
		"what is done is not done again":                         done,
		"a commit for a head that moved is refused":              moved,
		"a table gets the columns of new rows":                   evolve,
		"a column keeps its type":                                keepType,
		"two writers of different windows lose nothing":          race(2, 24/of, 50),
		"eight writers of few windows lose nothing":              race(8, 8/of, 4),
		"the map is whole after many commits":                    many(200 / of),
		"a file that is not as described is refused":             wrongFile,
		"files are found at an earlier snapshot":                 earlier,
		"a file gets its rows back":                              roundTrip,
		"the bytes of a file do not depend on how rows are cut":  cuts,
		"rows beyond the target size go to further files":        split,
		"a snapshot that is not kept any more is not found":      expired,
		"an entry is kept as it was given":                       entryKept,
		"a commit that is cancelled leaves the table as it was":  cancelled,
		"files of several windows are found at once":             severalWindows,
		"tables of a dataset are listed":                         tables,
		"a file that stays in its window is not lost by replace": sameFile,
		"a folder is published without what is temporary in it":  publishTidy,
		"what is abandoned is swept when it is old enough":       sweepAbandoned,
		"a writer whose work was swept begins anew":              sweepUnderWriters,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open)
		})
	}
}

// Rows is the name of the table of the suite.
var Rows = table.Name{Dataset: "flights", Table: table.Rows}

// Schema is the schema of its rows.
var Schema = arrow.NewSchema([]arrow.Field{
	{Name: "delay", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	{Name: "origin", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: table.Window, Type: arrow.FixedWidthTypes.Timestamp_us},
}, nil)

// Day is the n-th window.
func Day(n int) window.Window {
	return window.At(window.Day, time.Date(2001, 1, 1+n, 0, 0, 0, 0, time.UTC))
}

// Batch makes n rows of a window; different seeds make different rows.
func Batch(w window.Window, seed, n int) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, Schema)
	defer b.Release()
	for i := range n {
		b.Field(0).(*array.Int64Builder).Append(int64(seed*1000 + i))
		b.Field(1).(*array.StringBuilder).Append(fmt.Sprintf("A%d", i%7))
		b.Field(2).(*array.TimestampBuilder).Append(arrow.Timestamp(w.Start.UnixMicro()))
	}
	return b.NewRecordBatch()
}

// Write writes n rows of a window as data files of the table.
func Write(tb testing.TB, l *lake.Lake, w window.Window, seed, n int) []events.File {
	tb.Helper()
	return WriteBatches(tb, l, lake.DataDir(Rows, w), Batch(w, seed, n))
}

// WriteBatches writes the batches as data files of the folder.
func WriteBatches(tb testing.TB, l *lake.Lake, dir string, batches ...arrow.RecordBatch) []events.File {
	tb.Helper()
	p := l.NewParquet(tb.Context(), dir, batches[0].Schema())
	for _, b := range batches {
		if err := p.Write(b); err != nil {
			tb.Fatal(err)
		}
	}
	files, err := p.Finish()
	if err != nil {
		tb.Fatal(err)
	}
	return files
}

// Entry is a map entry that names a generation.
func Entry(generation int, more ...string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"generation":%d,"more":%q}`, generation, more))
}

// Replacing is a replacement of a window by files.
func Replacing(w window.Window, entry json.RawMessage, files ...events.File) table.Replace {
	return table.Replace{Table: Rows, Schema: Schema, Windows: []table.Content{{Window: w, Files: files, Entry: entry}}}
}

// MustReplace commits a replacement.
func MustReplace(tb testing.TB, l *lake.Lake, r table.Replace) int64 {
	tb.Helper()
	snapshot, err := l.Replace(tb.Context(), r)
	if err != nil {
		tb.Fatalf("Replace(%s) = %v", r.Windows[0].Window, err)
	}
	return snapshot
}

// MustHead reads the head of the table.
func MustHead(tb testing.TB, l *lake.Lake) table.Head {
	tb.Helper()
	head, err := l.Head(tb.Context(), Rows)
	if err != nil {
		tb.Fatal(err)
	}
	return head
}

func wantErr(tb testing.TB, err, want error, what string) {
	tb.Helper()
	if !errors.Is(err, want) {
		tb.Errorf("%s = %v, want %v", what, err, want)
	}
}

func filesOf(tb testing.TB, l *lake.Lake, snapshot int64, windows ...string) []events.File {
	tb.Helper()
	files, err := l.Files(context.WithoutCancel(tb.Context()), Rows, snapshot, windows)
	if err != nil {
		tb.Fatal(err)
	}
	return files
}
