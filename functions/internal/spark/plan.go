package spark

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/almanac-data/almanac/functions/internal/query"
	"github.com/almanac-data/almanac/functions/internal/spark/connect"
	"github.com/almanac-data/almanac/functions/internal/table"
)

// plan is a query as Spark gets it: the files of each view under a name that no text uses, and one statement that makes views of them.
// The text begins on its first line, so that Spark's messages name the lines that the text has.
type plan struct {
	connect.Plan

	inner string // the statement without an order
}

func planOf(q query.Query) (*plan, error) {
	// A backslash is a character like any other, as in the standard.
	text, err := q.BoundWith(func(literal string) string { return strings.ReplaceAll(literal, `\`, `\\`) })
	if err != nil {
		return nil, err
	}
	p := &plan{}
	var views []string
	for i, v := range q.Views {
		t, sql, err := view(v, fmt.Sprintf("__almanac_%d", i))
		if err != nil {
			return nil, fmt.Errorf("view %s: %w", v.Name, err)
		}
		p.Tables = append(p.Tables, t)
		views = append(views, name(v.Name)+" AS ("+sql+")")
	}
	if len(views) > 0 {
		p.inner = "WITH " + strings.Join(views, ", ") + " "
	}
	// Within parentheses stands a query, and no statement that would change something.
	p.inner += "SELECT * FROM (" + text + "\n) AS result"
	p.SQL = p.inner
	return p, nil
}

// order makes the result one sequence.
func (p *plan) order(q query.Query, schema *arrow.Schema) {
	var by []string
	named := map[string]bool{}
	add := func(column string) {
		if !named[strings.ToLower(column)] {
			named[strings.ToLower(column)] = true
			by = append(by, name(column)+" ASC NULLS LAST")
		}
	}
	for _, column := range q.OrderBy {
		add(column)
	}
	for _, f := range schema.Fields() {
		add(f.Name)
	}
	p.SQL = p.inner + " ORDER BY " + strings.Join(by, ", ")
}

// view is the table of a view's files, and the SELECT that makes the view of it. A column that a file does not have is null there.
func view(v query.View, source string) (connect.Table, string, error) {
	t := connect.Table{Name: source}
	var types, columns []string
	for _, f := range v.Schema.Fields() {
		kind, err := typeName(f.Type)
		if err != nil {
			return t, "", fmt.Errorf("column %s: %w", f.Name, err)
		}
		types = append(types, name(f.Name)+" "+kind)
		column := name(f.Name)
		if kind == naive {
			column = "CAST(" + column + " AS TIMESTAMP) AS " + column // there is one kind of timestamp, in UTC
		}
		columns = append(columns, column)
	}
	t.DDL = strings.Join(types, ", ")
	for _, file := range v.Files {
		t.Files = append(t.Files, uri(file))
	}
	slices.Sort(t.Files)
	from := name(source)
	where := "true"
	if v.Column != "" {
		where = fmt.Sprintf("%s >= %s AND %s < %s", name(v.Column), stamp(v.From), name(v.Column), stamp(v.Until))
	}
	if len(v.Key) > 0 {
		keys := make([]string, len(v.Key))
		for i, key := range v.Key {
			keys[i] = name(key)
		}
		from = fmt.Sprintf("(SELECT *, row_number() OVER (PARTITION BY %s ORDER BY %s DESC NULLS LAST, %s NULLS LAST, %s NULLS LAST) AS __almanac_place FROM %s WHERE %s)",
			strings.Join(keys, ", "), name(table.Window), name(table.Slice), name("_ordinal"), from, where)
		where = "__almanac_place = 1"
	}
	return t, fmt.Sprintf("SELECT %s FROM %s WHERE %s", strings.Join(columns, ", "), from, where), nil
}

func stamp(t time.Time) string {
	return "TIMESTAMP '" + t.UTC().Format("2006-01-02 15:04:05.999999") + "'"
}

// uri makes a path of this machine one of the file scheme, as Spark's default file system may be another.
func uri(file string) string {
	if strings.HasPrefix(file, "/") {
		return "file://" + file
	}
	return file
}

// name quotes for SQL.
func name(s string) string { return "`" + strings.ReplaceAll(s, "`", "``") + "`" }

const naive = "TIMESTAMP_NTZ"

func typeName(t arrow.DataType) (string, error) {
	switch t := t.(type) {
	case *arrow.Int64Type:
		return "BIGINT", nil
	case *arrow.Int32Type:
		return "INT", nil
	case *arrow.Float64Type:
		return "DOUBLE", nil
	case *arrow.BooleanType:
		return "BOOLEAN", nil
	case *arrow.StringType:
		return "STRING", nil
	case *arrow.BinaryType:
		return "BINARY", nil
	case *arrow.Date32Type:
		return "DATE", nil
	case *arrow.Decimal128Type:
		return fmt.Sprintf("DECIMAL(%d,%d)", t.Precision, t.Scale), nil
	case *arrow.TimestampType:
		if t.Unit == arrow.Microsecond && t.TimeZone == "" {
			return naive, nil
		}
		if t.Unit == arrow.Microsecond && t.TimeZone == "UTC" {
			return "TIMESTAMP", nil
		}
	}
	return "", fmt.Errorf("type %s cannot be read", t)
}
