package duck_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	"github.com/almanac-data/almanac/functions/internal/duck"
	"github.com/almanac-data/almanac/functions/internal/query"
)

func open(t testing.TB, o duck.Options) *duck.Engine {
	t.Helper()
	e, err := duck.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// write makes a Parquet file of rows in Arrow's JSON form.
func write(t testing.TB, schema *arrow.Schema, rows string) string {
	t.Helper()
	batch, _, err := array.RecordFromJSON(memory.DefaultAllocator, schema, strings.NewReader(rows))
	if err != nil {
		t.Fatal(err)
	}
	defer batch.Release()
	f, err := os.CreateTemp(t.TempDir(), "*.parquet")
	if err != nil {
		t.Fatal(err)
	}
	w, err := pqarrow.NewFileWriter(schema, f, parquet.NewWriterProperties(), pqarrow.DefaultWriterProps())
	if err == nil {
		err = errors.Join(w.Write(batch), w.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// rows runs a query and returns what it answers, one line of JSON for each row.
func rows(t testing.TB, e *duck.Engine, q query.Query) (string, error) {
	t.Helper()
	r, err := e.Run(context.Background(), q)
	if err != nil {
		return "", err
	}
	defer r.Release()
	var out strings.Builder
	for r.Next() {
		if err := array.RecordToJSON(r.RecordBatch(), &out); err != nil {
			t.Fatal(err)
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

const two = `[
	{"origin": "EWR", "delay": 5,  "_event_time": "2001-01-01T23:59:59.999999Z", "_window": "2001-01-01T00:00:00Z", "_slice": 1, "_ordinal": 0},
	{"origin": "LGA", "delay": -3, "_event_time": "2001-01-02T00:00:00Z", "_window": "2001-01-02T00:00:00Z", "_slice": 1, "_ordinal": 0},
	{"origin": "EWR", "delay": 7,  "_event_time": "2001-01-02T10:00:00Z", "_window": "2001-01-02T00:00:00Z", "_slice": 2, "_ordinal": 1},
	{"origin": "EWR", "delay": 8,  "_event_time": "2001-01-02T11:00:00Z", "_window": "2001-01-02T00:00:00Z", "_slice": 1, "_ordinal": 9},
	{"origin": "MIA", "delay": null, "_event_time": "2001-01-03T00:00:00Z", "_window": "2001-01-03T00:00:00Z", "_slice": 1, "_ordinal": 0}
]`

func day(d int) time.Time { return time.Date(2001, 1, d, 0, 0, 0, 0, time.UTC) }

func flights(t testing.TB) query.View {
	t.Helper()
	return query.View{
		Name: "rows", Schema: schema, Files: []string{write(t, schema, two)}, Column: "_event_time", From: day(1), Until: day(4),
	}
}

func TestRunSeesItsViews(t *testing.T) {
	e := open(t, duck.Options{})
	wide := arrow.NewSchema(append([]arrow.Field{{Name: "gate", Type: arrow.BinaryTypes.String, Nullable: true}}, schema.Fields()...), nil)
	for name, c := range map[string]struct {
		change func(v *query.View)
		text   string
		want   string
	}{
		"all rows in their order": {
			func(*query.View) {}, "SELECT origin, delay FROM rows",
			`{"delay":5,"origin":"EWR"} {"delay":7,"origin":"EWR"} {"delay":8,"origin":"EWR"} {"delay":-3,"origin":"LGA"} {"delay":null,"origin":"MIA"}`,
		},
		"the time cut is half open": {
			func(v *query.View) { v.From, v.Until = day(2), day(3) }, "SELECT delay FROM rows", `{"delay":-3} {"delay":7} {"delay":8}`,
		},
		"bounds are parameters": {
			func(*query.View) {}, "SELECT delay, ':start' AS s FROM rows WHERE _event_time >= :start AND _event_time < :end;",
			`{"delay":-3,"s":":start"} {"delay":7,"s":":start"} {"delay":8,"s":":start"}`,
		},
		"timestamps are plain and in UTC": {
			func(v *query.View) { v.Until = day(2) },
			"SELECT typeof(_event_time) AS t, CAST(_event_time AS VARCHAR) AS s, date_trunc('day', _event_time) = _window AS eq FROM rows",
			`{"eq":true,"s":"2001-01-01 23:59:59.999999","t":"TIMESTAMP"}`,
		},
		"of one key the latest window, then the first place": {
			func(v *query.View) { v.Key = []string{"origin"} }, "SELECT origin, delay FROM rows",
			`{"delay":8,"origin":"EWR"} {"delay":-3,"origin":"LGA"} {"delay":null,"origin":"MIA"}`,
		},
		"no file is no row": {
			func(v *query.View) { v.Files, v.Key = nil, []string{"origin"} }, "SELECT count(*) AS n, max(_window) AS w FROM rows", `{"n":0,"w":null}`,
		},
		"a column that a file does not have is null": {
			func(v *query.View) { v.Schema = wide }, "SELECT count(gate) AS gates, count(*) AS n FROM rows", `{"gates":0,"n":5}`,
		},
		"a column that only a newer file has": {
			func(v *query.View) {
				v.Schema = wide
				v.Files = append(v.Files, write(t, wide, `[{"gate": "A1", "_event_time": "2001-01-03T10:00:00Z"}]`))
			}, "SELECT count(gate) AS gates, count(*) AS n FROM rows", `{"gates":1,"n":6}`,
		},
		"a column that the schema does not have is not there": {
			func(v *query.View) { v.Schema = arrow.NewSchema(schema.Fields()[1:], nil) }, "SELECT * EXCLUDE (_event_time, _window) FROM rows WHERE delay = 5",
			`{"_ordinal":0,"_slice":1,"delay":5}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := flights(t)
			c.change(&v)
			got, err := rows(t, e, query.Query{Text: c.text, Start: day(2), End: day(3), Views: []query.View{v}})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, strings.ReplaceAll(got, "\n", " ")); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.text, diff)
			}
		})
	}
}

func TestRunOrders(t *testing.T) {
	e := open(t, duck.Options{})
	q := query.Query{Text: "SELECT * FROM (VALUES (2, 'b'), (1, NULL), (NULL, 'a'), (1, 'c'), (2, 'a')) AS v(n, s)", OrderBy: []string{"S"}}
	got, err := rows(t, e, q)
	want := `{"n":2,"s":"a"} {"n":null,"s":"a"} {"n":2,"s":"b"} {"n":1,"s":"c"} {"n":1,"s":null}`
	if err != nil || strings.ReplaceAll(got, "\n", " ") != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

func TestRunGivesOneSequenceWhateverTheThreads(t *testing.T) {
	q := query.Query{Text: `SELECT i % 7 AS k, CASE WHEN i % 5 = 0 THEN NULL ELSE hash(i) % 1000 END::BIGINT AS h,
		'a string of more than twelve bytes ' || i % 11 AS s, i % 2 = 0 AS b FROM range(100000) AS r(i)`, OrderBy: []string{"k"}}
	one, err1 := rows(t, open(t, duck.Options{Threads: 1}), q)
	four, err2 := rows(t, open(t, duck.Options{Threads: 4, MemoryLimit: "64MB", TempDir: t.TempDir()}), q)
	if err := errors.Join(err1, err2); err != nil || one != four {
		t.Errorf("results of 1 and 4 threads are equal: %v, %v", one == four, err)
	}
	if n := strings.Count(one, "\n") + 1; n != 100000 {
		t.Errorf("got %d rows, want 100000", n)
	}
}

func TestTypes(t *testing.T) {
	e := open(t, duck.Options{})
	decimal := func(p, s int32) arrow.DataType { return &arrow.Decimal128Type{Precision: p, Scale: s} }
	for sql, c := range map[string]struct {
		kind arrow.DataType
		want string
	}{
		"CAST(-1 AS TINYINT)":          {arrow.PrimitiveTypes.Int64, "-1"},
		"CAST(-2 AS SMALLINT)":         {arrow.PrimitiveTypes.Int64, "-2"},
		"3":                            {arrow.PrimitiveTypes.Int64, "3"},
		"CAST(4000000000 AS UINTEGER)": {arrow.PrimitiveTypes.Int64, "4000000000"},
		"CAST(200 AS UTINYINT)":        {arrow.PrimitiveTypes.Int64, "200"},
		"CAST(60000 AS USMALLINT)":     {arrow.PrimitiveTypes.Int64, "60000"},
		"count(*)":                     {arrow.PrimitiveTypes.Int64, "1"},
		"CAST(NULL AS BIGINT)":         {arrow.PrimitiveTypes.Int64, "null"},
		"sum(CAST(9223372036854775807 AS BIGINT)) * -2": {decimal(38, 0), `"-18446744073709551614"`},
		"CAST(1.25 AS DECIMAL(4, 2))":                   {decimal(4, 2), `"1.25"`},
		"CAST(-12345.6 AS DECIMAL(9, 1))":               {decimal(9, 1), `"-12345.6"`},
		"CAST(1.5 AS DECIMAL(18, 6))":                   {decimal(18, 6), `"1.5"`},
		"CAST(-1.5 AS DECIMAL(38, 10))":                 {decimal(38, 10), `"-1.5"`},
		"CAST(1.5 AS FLOAT)":                            {arrow.PrimitiveTypes.Float64, "1.5"},
		"CAST(1 AS BIGINT) / 4":                         {arrow.PrimitiveTypes.Float64, "0.25"},
		"CAST(-0.0 AS DOUBLE)":                          {arrow.PrimitiveTypes.Float64, "0"},
		"'twelve bytes'":                                {arrow.BinaryTypes.String, `"twelve bytes"`},
		"'thirteen bytes'":                              {arrow.BinaryTypes.String, `"thirteen bytes"`},
		"''":                                            {arrow.BinaryTypes.String, `""`},
		"DATE '2001-01-05'":                             {arrow.FixedWidthTypes.Date32, `"2001-01-05"`},
		"true":                                          {arrow.FixedWidthTypes.Boolean, "true"},
		"TIMESTAMP '2001-01-05 01:02:03.4'":             {micros, `"2001-01-05T01:02:03.4Z"`},
		"TIMESTAMPTZ '2001-01-05 01:02:03+01'":          {micros, `"2001-01-05T00:02:03Z"`},
		"TIMESTAMP_S '2001-01-05 01:02:03'":             {micros, `"2001-01-05T01:02:03Z"`},
		"TIMESTAMP_MS '1901-01-05 01:02:03'":            {micros, `"1901-01-05T01:02:03Z"`},
	} {
		q := query.Query{Text: "SELECT " + sql + " AS v"}
		got, err := rows(t, e, q)
		if err != nil || got != `{"v":`+c.want+`}` {
			t.Errorf("%s = %s, %v, want %s", sql, got, err, c.want)
		}
		if s, err := e.Check(context.Background(), q); err != nil || !arrow.TypeEqual(s.Field(0).Type, c.kind) {
			t.Errorf("type of %s is %v, %v, want %s", sql, s, err, c.kind)
		}
	}
}

func TestMistakesNameTheirPlace(t *testing.T) {
	dir := t.TempDir()
	e := open(t, duck.Options{Dirs: []string{dir}})
	view := query.View{Name: "rows", Schema: schema}
	for name, c := range map[string]struct {
		text string
		line int
		want string
	}{
		"a slip of the pen":          {"SELECT\n  1,\n  FORM rows", 3, "syntax error"},
		"a column that is not there": {"SELECT 1,\n  dlay FROM rows", 2, `"dlay" not found`},
		"a table that is not there":  {"SELECT 1\nFROM flights", 2, "flights does not exist"},
		"a function that is not":     {"SELECT\nsqroot(delay) FROM rows", 2, "sqroot"},
		"another parameter":          {"SELECT\n\n:begin", 3, ":begin"},
		"two statements":             {"SELECT 1;\nSELECT 2", 2, "one statement"},
		"not a query":                {"CREATE TABLE x (a INT)", 1, "not a SELECT"},
		"a setting":                  {"SET threads = 1", 1, "not a SELECT"},
		"a type without a place":     {"SELECT [1, 2] AS list", 0, "column list"},
		"an unsigned number":         {"SELECT hash(1) AS h", 0, "column h"},
		"two columns of one name":    {"SELECT 1 AS a, 2 AS A", 0, "two columns are named A"},
		"an infinite timestamp":      {"SELECT TIMESTAMP 'infinity' AS t", 0, "column t: a timestamp is infinite"},
		"an infinite date":           {"SELECT DATE 'infinity' AS d", 0, "column d: a date is infinite"},
		"39 digits":                  {"SELECT 170141183460469231731687303715884105727::HUGEINT AS h", 0, "column h: 170141183460469231731687303715884105727 has more than 38"},
		"an overflow":                {"SELECT CAST(9223372036854775807 AS BIGINT) + i AS o FROM range(10) AS r(i)", 0, "Overflow"},
		"a cast that fails":          {"SELECT CAST('x' || i AS BIGINT) AS o FROM range(10) AS r(i)", 1, "Could not convert"},
		"a file of the machine":      {"SELECT * FROM read_csv('/etc/passwd')", 1, "disabled"},
	} {
		_, err := rows(t, e, query.Query{Text: c.text, Views: []query.View{view}})
		var mistake *query.Error
		if !errors.As(err, &mistake) || !errors.Is(err, events.ErrInvalid) {
			t.Errorf("%s: error is %v, want a query.Error", name, err)
			continue
		}
		if mistake.Line != c.line || !strings.Contains(mistake.Detail, c.want) || strings.Contains(mistake.Detail, "LINE") {
			t.Errorf("%s: line %d: %q, want line %d and %q", name, mistake.Line, mistake.Detail, c.line, c.want)
		}
	}
	_, err := rows(t, e, query.Query{Text: "SELECT 1 AS a", OrderBy: []string{"b"}})
	if err == nil || !strings.Contains(err.Error(), "order_by names b") {
		t.Errorf("order by a column that is not there: %v", err)
	}
}

func TestAFileThatIsNotThereIsNoMistakeOfTheText(t *testing.T) {
	v := flights(t)
	v.Files = append(v.Files, filepath.Join(t.TempDir(), "gone.parquet"))
	_, err := rows(t, open(t, duck.Options{}), query.Query{Text: "SELECT delay FROM rows", Views: []query.View{v}})
	if err == nil || errors.Is(err, events.ErrInvalid) || !strings.Contains(err.Error(), "gone.parquet") {
		t.Errorf("error is %v, want one that can be retried and names the file", err)
	}
}

func TestEndingTheContextEndsTheQuery(t *testing.T) {
	e := open(t, duck.Options{Threads: 2})
	endless := query.Query{Text: "SELECT sum(a.i * b.i)::BIGINT AS s FROM range(10000000) AS a(i), range(10000000) AS b(i) WHERE a.i % 7 <> b.i % 5"}
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	if r, err := e.Run(ctx, endless); err == nil {
		for r.Next() { // whether DuckDB computes in Run or in Next is its affair
		}
		if !errors.Is(r.Err(), context.Canceled) {
			t.Errorf("reading ended with %v, want context.Canceled", r.Err())
		}
		r.Release()
	} else if !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v, want context.Canceled", err)
	}

	ctx, cancel = context.WithCancel(context.Background())
	r, err := e.Run(ctx, query.Query{Text: "SELECT i FROM range(5000000) AS r(i)"})
	if err != nil || !r.Next() {
		t.Fatal("no first batch", err)
	}
	cancel()
	for r.Next() {
	}
	if !errors.Is(r.Err(), context.Canceled) {
		t.Errorf("reading ended with %v, want context.Canceled", r.Err())
	}
	r.Release()
	if _, err := e.Run(ctx, endless); !errors.Is(err, context.Canceled) {
		t.Errorf("Run after the end = %v, want context.Canceled", err)
	}
	if got, err := rows(t, e, query.Query{Text: "SELECT 1 AS a"}); err != nil || got != `{"a":1}` {
		t.Errorf("the engine goes on with %s, %v", got, err)
	}
}

func TestSessionsDoNotSeeEachOther(t *testing.T) {
	e := open(t, duck.Options{})
	first, err := e.Run(context.Background(), query.Query{Text: "SELECT delay FROM rows", Views: []query.View{flights(t)}})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Release()
	if _, err := rows(t, e, query.Query{Text: "SELECT 1 AS one FROM rows"}); err == nil {
		t.Error("a query sees the views of another")
	}
}

func TestOpenSaysWhichSettingIsWrong(t *testing.T) {
	if _, err := duck.Open(duck.Options{MemoryLimit: "plenty"}); err == nil || !strings.Contains(err.Error(), "memory_limit") {
		t.Errorf("Open = %v, want an error that names memory_limit", err)
	}
}

func TestSpilling(t *testing.T) {
	dir := t.TempDir()
	e := open(t, duck.Options{MemoryLimit: "48MB", Threads: 2, TempDir: filepath.Join(dir, "spill"), Dirs: []string{dir}})
	q := query.Query{Text: "SELECT hash(i)::HUGEINT AS h, repeat('x', 20) || i AS s FROM range(1500000) AS r(i)"}
	r, err := e.Run(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	n := int64(0)
	for r.Next() {
		n += r.RecordBatch().NumRows()
	}
	if r.Err() != nil || n != 1500000 {
		t.Errorf("read %d rows, %v, want 1500000", n, r.Err())
	}
}

func ExampleEngine_Run() {
	e, err := duck.Open(duck.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer e.Close()
	r, err := e.Run(context.Background(), query.Query{
		Text:  "SELECT extract(DAY FROM :start)::BIGINT AS day, 'EWR' AS origin",
		Start: time.Date(2001, 1, 5, 0, 0, 0, 0, time.UTC),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Release()
	for r.Next() {
		fmt.Println(r.RecordBatch().Column(0), r.RecordBatch().Column(1))
	}
	// Output: [5] ["EWR"]
}
