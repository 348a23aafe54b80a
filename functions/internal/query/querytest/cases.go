package querytest

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/query"
)

func (s suite) views(t *testing.T) {
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
		"without a column there is no cut": {
			func(v *query.View) { v.Column, v.Until = "", day(2) }, "SELECT count(*) AS n FROM rows", `{"n":5}`,
		},
		"bounds are parameters": {
			func(*query.View) {}, "SELECT delay, ':start' AS s FROM rows WHERE _event_time >= :start AND _event_time < :end;",
			`{"delay":-3,"s":":start"} {"delay":7,"s":":start"} {"delay":8,"s":":start"}`,
		},
		"timestamps are plain and in UTC": {
			func(v *query.View) { v.Until = day(2) },
			"SELECT CAST(_event_time AS VARCHAR(40)) AS s, date_trunc('day', _event_time) = _window AS eq FROM rows",
			`{"eq":true,"s":"2001-01-01 23:59:59.999999"}`,
		},
		"of one key the latest window, then the first place": {
			func(v *query.View) { v.Key = []string{"origin"} }, "SELECT origin, delay FROM rows",
			`{"delay":8,"origin":"EWR"} {"delay":-3,"origin":"LGA"} {"delay":null,"origin":"MIA"}`,
		},
		"a row that is cut away wins no key": {
			func(v *query.View) { v.Key, v.Until = []string{"origin"}, day(2) }, "SELECT origin, delay FROM rows", `{"delay":5,"origin":"EWR"}`,
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
				v.Files = append(v.Files, Write(t, s.dir, wide, `[{"gate": "A1", "_event_time": "2001-01-03T10:00:00Z"}]`))
			}, "SELECT count(gate) AS gates, count(*) AS n FROM rows", `{"gates":1,"n":6}`,
		},
		"a column that the schema does not have is not there": {
			func(v *query.View) { v.Schema = arrow.NewSchema(schema.Fields()[1:], nil) }, "SELECT * FROM rows WHERE delay = 5",
			`{"_event_time":"2001-01-01T23:59:59.999999Z","_ordinal":0,"_slice":1,"_window":"2001-01-01T00:00:00Z","delay":5}`,
		},
		"a text may name a part of its own as a view": {
			func(*query.View) {}, "WITH rows AS (SELECT origin FROM rows WHERE delay > 6) SELECT origin, count(*) AS n FROM rows GROUP BY origin",
			`{"n":2,"origin":"EWR"}`,
		},
		"a view may be joined with itself": {
			func(*query.View) {}, "SELECT a.delay FROM rows a JOIN rows b ON a._window = b._window AND a._ordinal < b._ordinal",
			`{"delay":-3} {"delay":-3} {"delay":7}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := s.flights(t)
			c.change(&v)
			s.same(t, query.Query{Text: c.text, Start: day(2), End: day(3), Views: []query.View{v}}, c.want)
		})
	}
}

func (s suite) order(t *testing.T) {
	s.same(t, query.Query{
		Text: "SELECT * FROM (VALUES (2, 'b'), (1, NULL), (NULL, 'a'), (1, 'c'), (2, 'a'), (3, 'É'), (3, 'Z'), (3, '')) AS v(n, s)", OrderBy: []string{"S"},
	}, `{"n":3,"s":""} {"n":3,"s":"Z"} {"n":2,"s":"a"} {"n":null,"s":"a"} {"n":2,"s":"b"} {"n":1,"s":"c"} {"n":3,"s":"É"} {"n":1,"s":null}`)
	s.same(t, query.Query{
		Text: `SELECT CAST(x AS DOUBLE) AS x, k FROM (VALUES ('0.0', 2), ('-0.0', 1), ('-1.5', 3), ('1e300', 4), (NULL, 5), ('-0.0', 3)) AS v(x, k)`,
	}, `{"k":3,"x":-1.5} {"k":1,"x":0} {"k":2,"x":0} {"k":3,"x":0} {"k":4,"x":1e+300} {"k":5,"x":null}`)
	s.same(t, query.Query{
		Text: `SELECT b, d FROM (VALUES (true, DATE '2001-01-02'), (false, DATE '1969-12-31'), (NULL, DATE '1970-01-01'), (false, NULL)) AS v(b, d)`,
	}, `{"b":false,"d":"1969-12-31"} {"b":false,"d":null} {"b":true,"d":"2001-01-02"} {"b":null,"d":"1970-01-01"}`)
}

const none = "null"

func (s suite) types(t *testing.T) {
	decimal := func(p, s int32) arrow.DataType { return &arrow.Decimal128Type{Precision: p, Scale: s} }
	for sql, c := range map[string]struct {
		kind arrow.DataType
		want string
	}{
		"CAST(-1 AS TINYINT)":                    {arrow.PrimitiveTypes.Int64, "-1"},
		"CAST(-2 AS SMALLINT)":                   {arrow.PrimitiveTypes.Int64, "-2"},
		"3":                                      {arrow.PrimitiveTypes.Int64, "3"},
		"count(*)":                               {arrow.PrimitiveTypes.Int64, "1"},
		"NULL":                                   {arrow.PrimitiveTypes.Int64, none},
		"CAST(NULL AS BIGINT)":                   {arrow.PrimitiveTypes.Int64, none},
		"CAST(NULL AS INTEGER)":                  {arrow.PrimitiveTypes.Int64, none},
		"CAST(1.25 AS DECIMAL(4, 2))":            {decimal(4, 2), `"1.25"`},
		"CAST(-12345.6 AS DECIMAL(9, 1))":        {decimal(9, 1), `"-12345.6"`},
		"CAST(1.5 AS DECIMAL(18, 6))":            {decimal(18, 6), `"1.5"`},
		"CAST(-1.5 AS DECIMAL(38, 10))":          {decimal(38, 10), `"-1.5"`},
		"CAST(NULL AS DECIMAL(38, 10))":          {decimal(38, 10), none},
		"CAST(1.5 AS FLOAT)":                     {arrow.PrimitiveTypes.Float64, "1.5"},
		"CAST(NULL AS FLOAT)":                    {arrow.PrimitiveTypes.Float64, none},
		"CAST(1 AS BIGINT) / 4":                  {arrow.PrimitiveTypes.Float64, "0.25"},
		"CAST('-0.0' AS DOUBLE)":                 {arrow.PrimitiveTypes.Float64, "0"},
		"'thirteen bytes'":                       {arrow.BinaryTypes.String, `"thirteen bytes"`},
		"''":                                     {arrow.BinaryTypes.String, `""`},
		"CAST('x' AS VARCHAR(5))":                {arrow.BinaryTypes.String, `"x"`},
		"DATE '2001-01-05'":                      {arrow.FixedWidthTypes.Date32, `"2001-01-05"`},
		"DATE '1901-01-05'":                      {arrow.FixedWidthTypes.Date32, `"1901-01-05"`},
		"true":                                   {arrow.FixedWidthTypes.Boolean, "true"},
		"TIMESTAMP '2001-01-05 01:02:03.4'":      {micros, `"2001-01-05T01:02:03.4Z"`},
		"TIMESTAMP '1901-01-05 01:02:03.000001'": {micros, `"1901-01-05T01:02:03.000001Z"`},
	} {
		q := query.Query{Text: "SELECT " + sql + " AS v"}
		got, err := Rows(t, s.engine, q)
		if err != nil || got != `{"v":`+c.want+`}` {
			t.Errorf("%s = %s, %v, want %s", sql, got, err, c.want)
		}
		found, err := s.engine.Check(context.Background(), q)
		if err != nil || !arrow.TypeEqual(found.Field(0).Type, c.kind) || !found.Field(0).Nullable {
			t.Errorf("type of %s is %v, %v, want %s", sql, found, err, c.kind)
		}
	}
}

// answers are of expressions in the subset that texts may use.
func (s suite) answers(t *testing.T) {
	for sql, want := range map[string]string{
		`'it''s'`:                               `"it's"`,
		`'a\nb\'`:                               `"a\\nb\\"`, // a backslash is a character like any other
		`'${x}'`:                                `"${x}"`,
		`"a"`:                                   "1",
		`extract(MONTH FROM ts)`:                "1",
		`extract(HOUR FROM ts)`:                 "23",
		`CAST(date_trunc('week', ts) AS DATE)`:  `"2001-01-01"`,
		`d - 7`:                                 `"2000-12-25"`,
		`ts - INTERVAL '7' DAY`:                 `"2000-12-30T23:59:59.999999Z"`,
		`CASE WHEN a > 1 THEN 'x' ELSE 'y' END`: `"y"`,
		`nullif(a, 1)`:                          none,
		`a / 3`:                                 "0.3333333333333333",
		`sqrt(CAST(2 AS DOUBLE))`:               "1.4142135623730951",
		`a % 2`:                                 "1",
		`substring('almanac', 2, 3) || upper('x')`: `"lmaX"`,
		`length('Éa')`:                  "2",
		`round(CAST(2.5 AS DOUBLE))`:    "3",
		`ts < :start`:                   "true",
		`count(*) FILTER (WHERE a > 1)`: "0",
		`count(DISTINCT a)`:             "1",
		`CAST(sum(a) AS BIGINT)`:        "1",
		`avg(a)`:                        "1",
		`min('b')`:                      `"b"`,
		`bool_or(a = 1)`:                "true",
		`CAST(percentile_disc(0.9) WITHIN GROUP (ORDER BY a) AS BIGINT)`: "1",
	} {
		group := ""
		for _, function := range []string{"count(", "sum(", "avg(", "min(", "bool_or(", "percentile"} {
			if strings.Contains(sql, function) {
				group = " GROUP BY ts"
			}
		}
		got, err := Rows(t, s.engine, query.Query{
			Text:  "SELECT " + sql + " AS v FROM (VALUES (CAST(1 AS BIGINT), TIMESTAMP '2001-01-06 23:59:59.999999', DATE '2001-01-01')) AS t(a, ts, d)" + group,
			Start: day(8), End: day(15),
		})
		if err != nil || got != `{"v":`+want+`}` {
			t.Errorf("%s = %s, %v, want %s", sql, got, err, want)
		}
	}
}

func (s suite) mistakes(t *testing.T) {
	view := query.View{Name: "rows", Schema: schema}
	for name, c := range map[string]struct {
		text string
		line int // 0 for any
		want string
	}{
		"a slip of the pen":          {"SELECT\n  1 AS a,\n  FROM FROM rows", 3, ""},
		"a column that is not there": {"SELECT 1 AS a,\n  dlay FROM rows", 2, "dlay"},
		"a table that is not there":  {"SELECT 1 AS a\nFROM flights", 2, "flights"},
		"a function that is not":     {"SELECT\nsqroot(delay) AS a FROM rows", 2, "sqroot"},
		"another parameter":          {"SELECT\n\n:begin", 3, ":begin"},
		"two statements":             {"SELECT 1 AS a;\nSELECT 2 AS a", 2, "one statement"},
		"not a query":                {"DROP TABLE x", 0, ""},
		"a setting":                  {"SET threads = 1", 1, ""},
		"a table in the making":      {"CREATE TABLE x (a INT)", 1, ""},
		"a file of the machine":      {"SELECT * FROM parquet.`/etc/passwd`", 0, ""},
		"two columns of one name":    {"SELECT 1 AS a, 2 AS A", 0, "two columns are named A"},
		"an order without a column":  {"SELECT 1 AS b", 0, "order_by names a, which the result does not have"},
		"an overflow":                {"SELECT CAST(9223372036854775807 AS BIGINT) + i AS a FROM (VALUES (0), (1)) AS r(i)", 0, ""},
		"a cast that fails":          {"SELECT CAST('x' || i AS BIGINT) AS a FROM (VALUES ('0'), ('1')) AS r(i)", 0, ""},
	} {
		_, err := Rows(t, s.engine, query.Query{Text: c.text + " -- quux", Views: []query.View{view}, OrderBy: []string{"a"}})
		var mistake *query.Error
		if !errors.As(err, &mistake) || !errors.Is(err, events.ErrInvalid) {
			t.Errorf("%s: error is %v, want a query.Error", name, err)
			continue
		}
		if c.line > 0 && mistake.Line != c.line || !strings.Contains(mistake.Detail, c.want) {
			t.Errorf("%s: error is %v, want line %d with %q", name, err, c.line, c.want)
		}
		if strings.Contains(mistake.Detail, "quux") {
			t.Errorf("%s: error %q shows the text", name, mistake.Detail)
		}
	}
	gone := query.View{Name: "rows", Schema: schema, Files: []string{s.dir + "/gone.parquet"}}
	_, err := Rows(t, s.engine, query.Query{Text: "SELECT * FROM rows", Views: []query.View{gone}})
	if err == nil || errors.Is(err, events.ErrInvalid) || !strings.Contains(err.Error(), "gone.parquet") {
		t.Errorf("a file that is gone: error is %v, want one that can be retried and names the file", err)
	}
}
