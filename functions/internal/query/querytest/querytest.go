// Package querytest is what every SQL engine must answer alike: the subset of SQL that texts of datasets may use, the views that they see,
// the order and types of results, and which errors are mistakes of the text.
package querytest

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/google/go-cmp/cmp"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/query"
)

// Engine is what is tested.
type Engine interface {
	Run(ctx context.Context, q query.Query) (array.RecordReader, error)
	Check(ctx context.Context, q query.Query) (*arrow.Schema, error)
}

// Run runs the whole suite. The engine must be able to read files in dir.
func Run(t *testing.T, e Engine, dir string) {
	t.Helper()
	s := suite{e, dir}
	t.Run("views", s.views)
	t.Run("order", s.order)
	t.Run("types", s.types)
	t.Run("answers", s.answers)
	t.Run("mistakes", s.mistakes)
	t.Run("sessions", s.sessions)
	t.Run("many rows", s.many)
	t.Run("parts", s.parts)
	t.Run("end of the context", s.ended)
}

type suite struct {
	engine Engine
	dir    string
}

// Write makes a Parquet file of rows in Arrow's JSON form, in a new folder within dir.
func Write(tb testing.TB, dir string, schema *arrow.Schema, rows string) string {
	tb.Helper()
	batch, _, err := array.RecordFromJSON(memory.DefaultAllocator, schema, strings.NewReader(rows))
	if err != nil {
		tb.Fatal(err)
	}
	defer batch.Release()
	f, err := os.CreateTemp(dir, "*.parquet")
	if err != nil {
		tb.Fatal(err)
	}
	w, err := pqarrow.NewFileWriter(schema, f, parquet.NewWriterProperties(), pqarrow.DefaultWriterProps())
	if err == nil {
		err = errors.Join(w.Write(batch), w.Close())
	}
	if err != nil {
		tb.Fatal(err)
	}
	return f.Name()
}

// Rows runs a query and returns what it answers, one line of JSON for each row.
func Rows(tb testing.TB, e Engine, q query.Query) (string, error) {
	tb.Helper()
	r, err := e.Run(context.Background(), q)
	if err != nil {
		return "", err
	}
	defer r.Release()
	var out strings.Builder
	for r.Next() {
		if err := array.RecordToJSON(r.RecordBatch(), &out); err != nil {
			tb.Fatal(err)
		}
	}
	return strings.TrimSpace(out.String()), r.Err()
}

var (
	micros = arrow.FixedWidthTypes.Timestamp_us
	schema = arrow.NewSchema([]arrow.Field{
		{Name: "origin", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "delay", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "_event_time", Type: micros, Nullable: true},
		{Name: "_window", Type: micros, Nullable: true},
		{Name: "_slice", Type: arrow.PrimitiveTypes.Int32, Nullable: true},
		{Name: "_ordinal", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	}, nil)
)

const five = `[
	{"origin": "EWR", "delay": 5,  "_event_time": "2001-01-01T23:59:59.999999Z", "_window": "2001-01-01T00:00:00Z", "_slice": 1, "_ordinal": 0},
	{"origin": "LGA", "delay": -3, "_event_time": "2001-01-02T00:00:00Z", "_window": "2001-01-02T00:00:00Z", "_slice": 1, "_ordinal": 0},
	{"origin": "EWR", "delay": 7,  "_event_time": "2001-01-02T10:00:00Z", "_window": "2001-01-02T00:00:00Z", "_slice": 2, "_ordinal": 1},
	{"origin": "EWR", "delay": 8,  "_event_time": "2001-01-02T11:00:00Z", "_window": "2001-01-02T00:00:00Z", "_slice": 1, "_ordinal": 9},
	{"origin": "MIA", "delay": null, "_event_time": "2001-01-03T00:00:00Z", "_window": "2001-01-03T00:00:00Z", "_slice": 1, "_ordinal": 0}
]`

func day(d int) time.Time { return time.Date(2001, 1, d, 0, 0, 0, 0, time.UTC) }

func (s suite) flights(tb testing.TB) query.View {
	tb.Helper()
	return query.View{
		Name: "rows", Schema: schema, Files: []string{Write(tb, s.dir, schema, five)}, Column: "_event_time", From: day(1), Until: day(4),
	}
}

// same runs a query and compares its rows.
func (s suite) same(t *testing.T, q query.Query, want string) {
	t.Helper()
	got, err := Rows(t, s.engine, q)
	if err != nil {
		t.Fatalf("%s: %v", q.Text, err)
	}
	if diff := cmp.Diff(want, strings.ReplaceAll(got, "\n", " ")); diff != "" {
		t.Errorf("%s (-want +got):\n%s", q.Text, diff)
	}
}

func (s suite) sessions(t *testing.T) {
	first, err := s.engine.Run(context.Background(), query.Query{Text: "SELECT delay FROM rows", Views: []query.View{s.flights(t)}})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Release()
	if _, err := Rows(t, s.engine, query.Query{Text: "SELECT 1 AS one FROM rows"}); !errors.Is(err, events.ErrInvalid) {
		t.Errorf("a query that names the views of another = %v, want a mistake", err)
	}
	// Two queries at once, whose views have one name.
	cut := s.flights(t)
	cut.Until = day(2)
	s.same(t, query.Query{Text: "SELECT count(*) AS n FROM rows", Views: []query.View{cut}}, `{"n":1}`)
	n := int64(0)
	for first.Next() {
		n += first.RecordBatch().NumRows()
	}
	if n != 5 || first.Err() != nil {
		t.Errorf("the first query reads %d rows, %v, want 5", n, first.Err())
	}
}
