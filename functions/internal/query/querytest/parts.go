package querytest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/google/go-cmp/cmp"

	"github.com/almanac-data/almanac/functions/internal/query"
	"github.com/almanac-data/almanac/functions/internal/query/parts"
)

// divided runs each query in parts, and counts the queries.
type divided struct {
	Engine

	bound parts.Bound
	runs  int
}

func (d *divided) Run(ctx context.Context, q query.Query) (array.RecordReader, error) {
	return parts.Run(ctx, counter{d.Engine, &d.runs}, q, d.bound, slog.New(slog.DiscardHandler))
}

type counter struct {
	Engine

	runs *int
}

func (c counter) Run(ctx context.Context, q query.Query) (array.RecordReader, error) {
	*c.runs++
	return c.Engine.Run(ctx, q)
}

// parts must give, put together, what the whole gives.
func (s suite) parts(t *testing.T) {
	for name, c := range map[string]struct {
		values string   // of the columns of order, and one more
		order  []string // parts are made by the last one
		rows   int64
		runs   int // parts and one that counts
	}{
		"integers, a value of many rows, and nulls": {
			"(1, 'a'), (1, 'b'), (NULL, 'a'), (2, 'a'), (CAST('-9223372036854775808' AS BIGINT), 'a'), (NULL, 'b'), (NULL, 'c'), (3, 'a'), (3, 'b'), (3, 'c')", []string{"K"}, 2, 6,
		},
		"texts in the order of their bytes": {
			"('b', 1), ('B', 1), ('', 1), ('it''s', 1), ('a\\nb\\', 1), ('${x}', 1), ('É', 1)," +
				" ('\U0001F600', 1), ('\uFFFD', 1), ('z', 1), (':end -- ;', 1), (NULL, 1)", []string{"k"}, 1, 13,
		},
		"texts with a zero byte": {"('a' || chr(0) || 'b', 1), ('a', 1), ('a' || chr(0) || 'a', 1), ('ab', 1)", []string{"k"}, 1, 5},
		"decimals": {
			"(CAST(-1.25 AS DECIMAL(20, 4)), 1), (CAST(99999999.9999 AS DECIMAL(20, 4)), 1), (NULL, 1), (CAST(-1.2501 AS DECIMAL(20, 4)), 1)", []string{"k"}, 1, 5,
		},
		"dates":      {"(DATE '1969-12-31', 1), (DATE '2001-02-03', 1), (DATE '0001-01-01', 1), (DATE '9999-12-31', 1)", []string{"k"}, 1, 5},
		"timestamps": {"(TIMESTAMP '1901-01-05 01:02:03.000001', 1), (TIMESTAMP '2001-01-05 01:02:03.4', 1), (TIMESTAMP '2001-01-05', 1), (NULL, 2)", []string{"k"}, 1, 5},
		"booleans":   {"(true, 1), (false, 1), (NULL, 1), (true, 2)", []string{"k"}, 1, 4},
		"all in one": {"(1, 1), (2, 1), (3, 1)", []string{"k"}, 3, 2},
		"a column before, with a null": {
			"('x', 2, 1), ('y', 1, 1), ('x', 1, 1), (NULL, 1, 1), ('y', NULL, 1), ('y', 3, 1), (NULL, 2, 1)", []string{"split", "k"}, 2, 5,
		},
		"no row": {"", []string{"k"}, 2, 1},
	} {
		t.Run(name, func(t *testing.T) {
			columns := strings.ToLower(strings.Join(c.order, ", ")) + ", v"
			q := query.Query{Text: "SELECT * FROM (VALUES " + c.values + ") AS t(" + columns + ");", OrderBy: c.order}
			if c.values == "" {
				q.Text = "SELECT k, v FROM (VALUES (1, 2)) AS t(k, v) WHERE k > 1"
			}
			want, err := Rows(t, s.engine, q)
			if err != nil {
				t.Fatal(err)
			}
			d := &divided{Engine: s.engine, bound: parts.Bound{By: c.order[len(c.order)-1], Rows: c.rows}}
			got, err := Rows(t, d, q)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("in parts: %v (-whole +parts):\n%s", err, diff)
			}
			if d.runs != c.runs {
				t.Errorf("it took %d queries, want %d", d.runs, c.runs)
			}
		})
	}
	t.Run("views and bounds", s.partsOfViews)
	t.Run("many rows in parts", s.manyParts)
	t.Run("an answer that changes", s.changing)
	t.Run("mistakes in parts", s.mistakenParts)
}

func (s suite) partsOfViews(t *testing.T) {
	d := &divided{Engine: s.engine, bound: parts.Bound{By: schema.Field(0).Name, Rows: 1}}
	suite{d, s.dir}.same(t, query.Query{
		Text: "SELECT delay, origin FROM rows WHERE _event_time >= :start", Start: day(2), End: day(3), Views: []query.View{s.flights(t)}, OrderBy: []string{d.bound.By},
	}, `{"delay":7,"origin":"EWR"} {"delay":8,"origin":"EWR"} {"delay":-3,"origin":"LGA"} {"delay":null,"origin":"MIA"}`)
	if d.runs != 4 {
		t.Errorf("it took %d queries, want 4", d.runs)
	}
}

// manyParts has as many values as rows: they are counted in chunks.
func (s suite) manyParts(t *testing.T) {
	const n = 30_011 // a prime, so that each number is there once
	d := &divided{Engine: s.engine, bound: parts.Bound{By: "i", Rows: 10_000}}
	r, err := d.Run(context.Background(), query.Query{Text: "SELECT i, s FROM numbers", Views: []query.View{Numbers(t, s.dir, n)}, OrderBy: []string{"i"}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	want := int64(0)
	for r.Next() {
		for _, got := range r.RecordBatch().Column(0).(*array.Int64).Int64Values() {
			if got != want {
				t.Fatalf("row %d has %d: the result is not one sequence", want, got)
			}
			want++
		}
	}
	if r.Err() != nil || want != n || d.runs != 5 {
		t.Errorf("read %d rows in %d queries, %v, want %d in 5", want, d.runs, r.Err(), n)
	}
}

func (s suite) changing(t *testing.T) {
	d := &divided{Engine: s.engine, bound: parts.Bound{By: "i", Rows: 10_000}}
	_, err := Rows(t, d, query.Query{
		Text: "SELECT i FROM numbers WHERE random() < 0.5", Views: []query.View{Numbers(t, s.dir, 30_011)}, OrderBy: []string{"i"},
	})
	if _, ok := errors.AsType[*query.Error](err); !ok || !strings.Contains(err.Error(), "the same answer twice") {
		t.Errorf("error is %v, want a query.Error that says that the answer changes", err)
	}
}

func (s suite) mistakenParts(t *testing.T) {
	for name, c := range map[string]struct {
		text, want string
		line       int
	}{
		"the text":                {"SELECT\n 1 AS k,\n  dlay FROM (VALUES (1)) AS t(a)", "dlay", 3},
		"a column that is not":    {"SELECT 1 AS a", "order_by names k, which the result does not have", 0},
		"a double":                {"SELECT CAST(1 AS DOUBLE) AS k", "parts cannot be made by k, which is float64: name an integer", 0},
		"what it does with a row": {"SELECT CAST('x' || i AS BIGINT) AS k FROM (VALUES ('0'), ('1')) AS r(i)", "", 0},
		"a year of five digits":   {"SELECT DATE '9999-12-31' + i AS k FROM (VALUES (1), (2)) AS r(i)", "which has the year 10000", 0},
	} {
		d := &divided{Engine: s.engine, bound: parts.Bound{By: "k", Rows: 1}}
		_, err := Rows(t, d, query.Query{Text: c.text, OrderBy: []string{"k"}})
		mistake, ok := errors.AsType[*query.Error](err)
		if !ok || !strings.Contains(mistake.Detail, c.want) || c.line > 0 && mistake.Line != c.line {
			t.Errorf("%s: error is %v, want line %d with %q", name, err, c.line, c.want)
		}
	}
	_, err := Rows(t, &divided{Engine: s.engine, bound: parts.Bound{By: "v", Rows: 1}}, query.Query{Text: "SELECT 1 AS k, 2 AS v", OrderBy: []string{"k"}})
	if want := "by v, by which the result is not ordered"; err == nil || !strings.Contains(fmt.Sprint(err), want) {
		t.Errorf("error is %v, want %q", err, want)
	}
}
