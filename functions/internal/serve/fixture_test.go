package serve

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/facts/factstest"
	"github.com/almanac-data/almanac/functions/internal/serve/shelf"
	"github.com/almanac-data/almanac/functions/internal/table"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// local is a warehouse in a folder.
type local string

func (l local) at(p string) string { return filepath.Join(string(l), filepath.FromSlash(p)) }

func (l local) Open(_ context.Context, p string) (io.ReadCloser, error) { return os.Open(l.at(p)) }

func (l local) Names(_ context.Context, dir string) ([]string, error) {
	found, err := os.ReadDir(l.at(dir))
	var names []string
	for _, e := range found {
		names = append(names, e.Name())
	}
	return names, err
}

func (l local) Scan(ctx context.Context, p string, columns ...string) (table.Reader, error) {
	in, err := os.Open(l.at(p))
	if err != nil {
		return nil, err
	}
	pf, err := file.NewParquetReader(in)
	if err != nil {
		return nil, err
	}
	reader, err := pqarrow.NewFileReader(pf, pqarrow.ArrowReadProperties{BatchSize: 400}, memory.DefaultAllocator)
	if err != nil {
		return nil, err
	}
	var indices []int
	for _, c := range columns {
		i := pf.MetaData().Schema.ColumnIndexByName(c)
		if i < 0 {
			return nil, fmt.Errorf("has no column %s", c)
		}
		indices = append(indices, i)
	}
	rows, err := reader.GetRecordReader(ctx, indices, nil)
	return &scan{rows, in}, err
}

type scan struct {
	pqarrow.RecordReader

	in io.Closer
}

func (s *scan) Close() error { s.Release(); return s.in.Close() }

type catalog []*dataset.Dataset

func (c catalog) Datasets() ([]*dataset.Dataset, error) { return c, nil }

func (c catalog) Dataset(name string) (*dataset.Dataset, error) {
	for _, d := range c {
		if d.Name == name {
			return d, nil
		}
	}
	return nil, fmt.Errorf("%w: no %s", events.ErrInvalid, name)
}

var flights = &dataset.Dataset{
	Name: "flights", Title: "US flights", Version: "1.0.0", Owner: "data-owner", Definition: "def", Key: nil,
	Columns: []dataset.Column{
		{Name: "date", Type: dataset.Timestamp, Required: true, Classification: "public"},
		{Name: "delay", Type: dataset.Integer, Description: "Minutes"}, {Name: "fare", Type: dataset.Decimal, Precision: 9, Scale: 2},
	},
	Rules:      []dataset.Rule{{Name: "delay_range", Kind: "range", Column: "delay", Dimension: "conformity", Severity: "error", Scope: "row"}},
	Collect:    dataset.Collect{Every: window.Day, Delay: 6 * time.Hour, Start: time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC), End: time.Date(2001, 7, 1, 0, 0, 0, 0, time.UTC), EventTime: "date"},
	Aggregates: []dataset.Query{{Name: "origin_weekly", Every: window.Week, Delay: 90 * time.Minute, Inputs: []dataset.Input{{Table: "rows"}}}},
	Releases:   []dataset.Query{{Name: "training", Every: window.Month, Inputs: []dataset.Input{{Table: "rows"}, {Table: "origin_weekly"}}, Split: "split"}},
}

// births has two releases by name and nothing stored.
var births = &dataset.Dataset{
	Name: "births", Title: "Births", Version: "2", Owner: "o", Collect: dataset.Collect{Every: window.Week},
	Releases: []dataset.Query{{Name: "yearly", Every: window.Year}, {Name: "monthly", Every: window.Month}},
}

// world is an API over facts in memory and a warehouse in a folder.
type world struct {
	journal *factstest.Memory
	dir     local
	url     string
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{journal: &factstest.Memory{Now: time.Date(2001, 2, 1, 0, 0, 0, 0, time.UTC)}, dir: local(t.TempDir())}
	server := httptest.NewServer(New(Server{Journal: w.journal, Datasets: catalog{births, flights}, Files: w.dir}))
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

func (w *world) say(t testing.TB, evs ...events.Event) {
	t.Helper()
	if err := w.journal.Say(t.Context(), evs...); err != nil {
		t.Fatal(err)
	}
}

// slice says the facts of one slice as far as the number of steps.
func (w *world) slice(t testing.TB, p events.Piece, steps int, last bool, sheet events.Counts, reasons map[string]int64) {
	t.Helper()
	days := events.Sheet{p.Window: sheet}
	collected := events.Collected{Piece: p, Last: last, Reason: "schedule"}
	processed := events.Processed{Piece: p, Inputs: collected.Digest(), Definition: "def", Sheet: days}
	validated := events.Validated{Piece: p, Inputs: processed.Digest(), Definition: "def", Sheet: days, Reasons: reasons}
	staged := events.Staged{Piece: p, Inputs: validated.Digest(), Definition: "def", Sheet: days, Reasons: reasons, Last: last}
	w.say(t, []events.Event{collected, processed, validated, staged}[:steps]...)
}

func piece(key string, generation int) events.Piece {
	return events.Piece{Dataset: "flights", Window: key, Generation: generation}
}

// january says what happened in the first days of 2001: stored, stored twice, stopped, under way, waiting, due.
func (w *world) january(t testing.TB) {
	t.Helper()
	sheet := events.Counts{Read: 10, Stored: 7, Quarantined: 2, Filtered: 1}
	reasons := map[string]int64{"delay_range": 2}
	stored := func(p events.Piece) events.Stored {
		pin := events.Pin{Files: []events.PinnedFile{{URI: "file:///in/" + p.Window + ".csv", Bytes: 99, Digest: strings.Repeat("ab", 32)}}}
		return events.Stored{Piece: p, Snapshot: 7, Entry: events.Entry{
			Generation: p.Generation, Definition: "def", Digest: "digest", Slices: 2, Pin: pin, Reason: "schedule", Sheet: events.Sheet{p.Window: sheet.Add(sheet)},
		}}
	}
	for _, p := range []events.Piece{piece("2001-01-01", 1), piece("2001-01-02", 1), piece("2001-01-02", 2)} {
		w.say(t, events.Due{Piece: p, Step: events.StepCollect, Attempt: 1, Reason: "schedule"})
		w.slice(t, p.At(1), 4, false, sheet, reasons)
		w.slice(t, p.At(2), 4, true, sheet, reasons)
		w.say(t, stored(p))
	}
	w.slice(t, piece("2001-01-03", 1).At(1), 4, true, events.Counts{Read: 10, Stored: 2, Quarantined: 8}, map[string]int64{"delay_range": 5, "type": 3})
	w.say(t, events.Stopped{Piece: piece("2001-01-03", 1), Step: "store", Definition: "def", Reason: "reject_budget", Detail: "8 of 10 rows are refused"})
	w.slice(t, piece("2001-01-04", 1).At(1), 4, false, sheet, nil)
	w.slice(t, piece("2001-01-04", 1).At(2), 2, true, sheet, nil)
	w.say(t, events.Due{Piece: piece("2001-01-05", 1), Step: events.StepCollect, Attempt: 1, Reason: "schedule"},
		events.Stopped{Piece: piece("2001-01-05", 1), Step: "collect", Definition: "def", Reason: "source_missing", Detail: "no file", Waiting: true},
		events.Due{Piece: piece("2001-01-06", 1), Step: events.StepCollect, Attempt: 1, Reason: "schedule"},
		events.Collected{Piece: piece("2001-01-07", 1).At(1), Reason: "schedule"},
		events.Restated{Piece: piece("2001-01-07", 1)},
		events.Stopped{Piece: events.Piece{Dataset: "flights", Name: "training", Window: "2001-02"}, Step: "deliver", Reason: "sql"})
}

// parquet writes rows with the numbers [from, to) as a file named by its digest and gives its line in the manifest.
func (w *world) parquet(t testing.TB, version, split string, from, to int) shelf.File {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "n", Type: arrow.PrimitiveTypes.Int64}, {Name: "at", Type: arrow.FixedWidthTypes.Timestamp_us, Nullable: true}, {Name: "name", Type: arrow.BinaryTypes.String, Nullable: true},
	}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for n := from; n < to; n++ {
		b.Field(0).(*array.Int64Builder).Append(int64(n))
		b.Field(1).(*array.TimestampBuilder).Append(arrow.Timestamp(n * 1_000_000))
		b.Field(2).(*array.StringBuilder).Append(fmt.Sprintf("row %d, \"%s\"", n, split))
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	var buf bytes.Buffer
	out, err := pqarrow.NewFileWriter(schema, &buf, nil, pqarrow.DefaultWriterProps())
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Write(batch); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(buf.Bytes())
	f := shelf.File{Path: "data/" + hex.EncodeToString(sum[:]) + ".parquet", Bytes: int64(buf.Len()), Rows: int64(to - from), SHA256: hex.EncodeToString(sum[:]), Split: split}
	w.write(t, "releases/flights/"+version+"/"+f.Path, buf.Bytes())
	return f
}

func (w *world) write(t testing.TB, name string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(w.dir.at(name)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.dir.at(name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// release publishes a release of 1000 rows for training and 500 for testing.
func (w *world) release(t testing.TB, version string) []shelf.File {
	t.Helper()
	files := []shelf.File{w.parquet(t, version, "train", 0, 1000), w.parquet(t, version, "test", 1000, 1500)}
	var doc shelf.Manifest
	doc.Content.Files, doc.Content.Schema, doc.ContentSHA256 = files, []shelf.Column{{Name: "n", Type: "int64"}}, strings.Repeat("c", 64)
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "releases/flights/"+version+"/manifest.json", text)
	return files
}

func (w *world) get(t testing.TB, path string, header ...string) (*http.Response, string) {
	t.Helper()
	return w.do(t, http.MethodGet, path, header...)
}

// do sends a request without following redirects. Headers are given as "Name: value".
func (w *world) do(t testing.TB, method, path string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, w.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp, string(body)
}
