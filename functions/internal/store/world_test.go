package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/parquet-go/parquet-go"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/block/blocktest"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/facts/factstest"
	"github.com/almanac-data/almanac/functions/internal/lake"
	"github.com/almanac-data/almanac/functions/internal/table"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// world is everything around a Store: a real lake, and facts and blocks in memory. It is also the port that finds the dataset.
type world struct {
	t       testing.TB
	dir     string
	d       *dataset.Dataset
	journal *factstest.Memory
	blocks  *blocktest.Memory
	lake    *lake.Lake
	gap     int64  // left out between slices
	day     string // whose window ingest ingests, if not that of piece
}

// row is a record of the source, as a test writes it. Records that are refused or filtered have an ordinal, but no row.
type row struct {
	id      int64
	at      string // 01-05 13:00
	delay   any    // int64 or nil
	origin  any    // string or nil
	refused string // the reason
	dropped bool   // by a filter
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), journal: new(factstest.Memory), blocks: new(blocktest.Memory), d: &dataset.Dataset{
		Name: "flights", Version: "1.0.0", Definition: "d1",
		Columns: []dataset.Column{
			{Name: "id", Type: dataset.Integer}, {Name: "date", Type: dataset.Timestamp},
			{Name: "delay", Type: dataset.Integer}, {Name: "origin", Type: dataset.String},
		},
		Collect: dataset.Collect{Every: window.Day, Delay: 6 * time.Hour, EventTime: "date"},
		Reject:  dataset.Reject{Rows: 100, Share: 0.5},
	}}
	w.lake = w.openLake()
	return w
}

func (w *world) openLake() *lake.Lake {
	w.t.Helper()
	l, err := lake.Open(w.t.Context(), w.dir)
	w.must(err)
	return l
}

// store is one instance, with its own lake.
func (w *world) store() *Store {
	l := w.openLake()
	return &Store{Journal: w.journal, Blocks: w.blocks, Datasets: w, Files: l, Opener: l, Joiner: l, Tables: l}
}

func (w *world) Dataset(name string) (*dataset.Dataset, error) {
	if name != w.d.Name {
		return nil, fmt.Errorf("%w: no dataset %s", events.ErrInvalid, name)
	}
	return w.d, nil
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func piece(generation int) events.Piece {
	return events.Piece{Dataset: "flights", Window: "2001-01-05", Generation: generation}
}

// ingest does the work of collect, process and validate for a generation, and returns what wakes store for each slice.
func (w *world) ingest(generation int, source ...[]row) []*events.Validated {
	w.t.Helper()
	var wake []*events.Validated
	var prev events.Collected
	pin := events.Pin{Files: []events.PinnedFile{{URI: "a.csv", Digest: events.Digest(fmt.Sprint(source))}}}
	for i, records := range source {
		at := piece(generation).At(i + 1)
		at.Window = cmp.Or(w.day, at.Window)
		collected := events.Collected{Piece: at, Definition: w.d.Definition, Inputs: pin.Content(), Pin: pin, From: prev.To,
			Last: i == len(source)-1, Raw: w.raw(at, records), Reason: "schedule"}
		collected.To = events.Position{Offset: prev.To.Offset + int64(len(text(records)))}
		if i > 0 {
			collected.Inputs = prev.Digest()
			collected.From.Offset += w.gap
		}
		prev = collected
		sheet, reasons := counted(records)
		processed := events.Processed{Piece: at, Definition: w.d.Definition, Inputs: collected.Digest(), Rows: w.rows(block.ProcessedTopic, at, records),
			Quarantine: w.refused(at, records), Sheet: sheet}
		validated := events.Validated{Piece: at, Definition: w.d.Definition, Inputs: processed.Digest(), Rows: w.rows(block.CleanTopic, at, records),
			Quarantine: []events.Claim{processed.Quarantine, {}}, Sheet: sheet, Reasons: reasons}
		w.must(w.journal.Say(w.t.Context(), collected, processed, validated))
		wake = append(wake, &validated)
	}
	return wake
}

func text(records []row) string { return fmt.Sprintln(records) }

func dayOf(r row) string { return "2001-" + r.at[:5] }

func counted(records []row) (events.Sheet, map[string]int64) {
	sheet, reasons := events.Sheet{}, map[string]int64{}
	for _, r := range records {
		c := events.Counts{Read: 1, Stored: 1}
		if r.refused != "" {
			c = events.Counts{Read: 1, Quarantined: 1}
			reasons[r.refused]++
		} else if r.dropped {
			c = events.Counts{Read: 1, Filtered: 1}
		}
		sheet.Add(dayOf(r), c)
	}
	return sheet, reasons
}

func (w *world) raw(at events.Piece, records []row) events.Claim {
	value, err := block.EncodeRaw([]byte(text(records)))
	w.must(err)
	return w.write(block.RawTopic("flights"), at, block.Block{Value: value})
}

// rows writes two blocks, of which the first has about a third of the rows.
func (w *world) rows(topic func(string) string, at events.Piece, records []row) events.Claim {
	cut := len(records) / 3
	return w.write(topic("flights"), at, w.encoded(0, rowsBatch(w.d, records[:cut], 0)), w.encoded(1, rowsBatch(w.d, records[cut:], cut)))
}

func rowsBatch(d *dataset.Dataset, records []row, ordinal int) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, block.Schema(d))
	defer b.Release()
	for i, r := range records {
		if r.refused != "" || r.dropped {
			continue
		}
		b.Field(0).(*array.Int64Builder).Append(r.id)
		b.Field(1).(*array.TimestampBuilder).Append(arrow.Timestamp(moment(r).UnixMicro()))
		if v, ok := r.delay.(int); ok {
			b.Field(2).(*array.Int64Builder).Append(int64(v))
		} else {
			b.Field(2).AppendNull()
		}
		if v, ok := r.origin.(string); ok {
			b.Field(3).(*array.StringBuilder).Append(v)
		} else {
			b.Field(3).AppendNull()
		}
		b.Field(4).(*array.Int64Builder).Append(int64(ordinal + i))
	}
	return b.NewRecordBatch()
}

func moment(r row) time.Time {
	at, err := time.Parse("2006-01-02 15:04", "2001-"+r.at)
	if err != nil {
		panic(err)
	}
	return at
}

func (w *world) refused(at events.Piece, records []row) events.Claim {
	b := array.NewRecordBuilder(memory.DefaultAllocator, block.Quarantine)
	defer b.Release()
	for i, r := range records {
		if r.refused == "" {
			continue
		}
		b.Field(0).(*array.BinaryBuilder).Append([]byte(fmt.Sprint(r.id)))
		for c, v := range []string{r.refused, "", "delay", "it is " + r.refused, dayOf(r)} {
			b.Field(c + 1).(*array.StringBuilder).Append(v)
		}
		b.Field(6).(*array.Int64Builder).Append(int64(i))
		b.Field(7).(*array.StringBuilder).Append("a.csv")
		b.Field(8).(*array.Int64Builder).Append(0)
		b.Field(9).(*array.StringBuilder).Append("1.0.0")
	}
	batch := b.NewRecordBatch()
	if batch.NumRows() == 0 {
		return w.write(block.QuarantineTopic("flights"), at)
	}
	return w.write(block.QuarantineTopic("flights"), at, w.encoded(0, batch))
}

func (w *world) encoded(index int, batch arrow.RecordBatch) block.Block {
	w.t.Helper()
	defer batch.Release()
	value, err := block.Encode(batch)
	w.must(err)
	return block.Block{Index: index, Rows: batch.NumRows(), Value: value}
}

func (w *world) write(topic string, at events.Piece, blocks ...block.Block) events.Claim {
	w.t.Helper()
	out, err := w.blocks.Open(w.t.Context(), topic, at)
	w.must(err)
	defer out.Close()
	for _, b := range blocks {
		w.must(out.Append(w.t.Context(), b))
	}
	claim, err := out.Claim(w.t.Context())
	w.must(err)
	return claim
}

// handle wakes an instance for each event; none may fail.
func (w *world) handle(s *Store, wake ...*events.Validated) {
	w.t.Helper()
	for _, ev := range wake {
		if err := s.Handle(w.t.Context(), ev); err != nil {
			w.t.Fatalf("Handle(%s) = %v", ev.Key(), err)
		}
	}
}

func known[T events.Event](w *world, p events.Piece) (T, bool) {
	w.t.Helper()
	view, err := w.journal.View(w.t.Context())
	w.must(err)
	return facts.Get[T](view, p)
}

// head is what a table holds, as a new process sees it.
func (w *world) head(tab string) (table.Head, map[string]events.Entry) {
	w.t.Helper()
	head, err := w.openLake().Head(context.Background(), table.Name{Dataset: "flights", Table: tab})
	w.must(err)
	entries := map[string]events.Entry{}
	for key, raw := range head.Entries {
		var e events.Entry
		w.must(json.Unmarshal(raw, &e))
		entries[key] = e
	}
	return head, entries
}

// visible reads the rows that a table shows by a reader that shares no code with the writer, each as the named columns.
func (w *world) visible(tab string, columns ...string) []string {
	w.t.Helper()
	head, entries := w.head(tab)
	var windows []string
	for key := range entries {
		windows = append(windows, key)
	}
	files, err := w.openLake().Files(context.Background(), table.Name{Dataset: "flights", Table: tab}, head.Snapshot, windows)
	w.must(err)
	rows := []string{}
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(w.dir, f.Path))
		w.must(err)
		rows = append(rows, readParquet(w.t, data, columns)...)
	}
	sort.Strings(rows)
	return rows
}

func readParquet(t testing.TB, data []byte, columns []string) []string {
	t.Helper()
	r := parquet.NewReader(bytes.NewReader(data))
	defer r.Close()
	names := map[string]int{}
	for i, path := range r.Schema().Columns() {
		names[path[0]] = i
	}
	var rows []string
	buf := make([]parquet.Row, 100)
	for {
		n, err := r.ReadRows(buf)
		for _, values := range buf[:n] {
			var parts []string
			for _, c := range columns {
				if at, ok := names[c]; !ok {
					t.Fatalf("the file has no column %s", c)
				} else if v := values[at]; v.IsNull() {
					parts = append(parts, "null")
				} else {
					parts = append(parts, v.String())
				}
			}
			rows = append(rows, strings.Join(parts, " "))
		}
		if n == 0 || err != nil {
			return rows
		}
	}
}

// wantRows holds what a table shows to rows, in any order.
func (w *world) wantRows(tab, columns string, want ...string) {
	w.t.Helper()
	sort.Strings(want)
	if got := w.visible(tab, strings.Fields(columns)...); !slices.Equal(got, want) {
		w.t.Errorf("%s shows %d rows (%s)\n%s\nwant %d\n%s", tab, len(got), columns, strings.Join(got, "\n"), len(want), strings.Join(want, "\n"))
	}
}

// snapshots counts the snapshots in the table's newest metadata file.
func (w *world) snapshots(tab string) int {
	w.t.Helper()
	found, err := filepath.Glob(filepath.Join(w.dir, "flights", tab, "metadata", "v*.metadata.json"))
	w.must(err)
	most := 0
	for _, name := range found {
		data, err := os.ReadFile(name)
		w.must(err)
		var metadata struct {
			Snapshots []json.RawMessage `json:"snapshots"`
		}
		w.must(json.Unmarshal(data, &metadata))
		most = max(most, len(metadata.Snapshots))
	}
	return most
}
