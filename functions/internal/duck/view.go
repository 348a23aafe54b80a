package duck

import (
	"fmt"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/almanac-data/almanac/functions/internal/query"
	"github.com/almanac-data/almanac/functions/internal/table"
)

// view is the statement that makes a view of the session.
//
// Columns are read by name; one that a file does not have is null there, as long as another file has it. One that no file has needs a
// view that is told all types, which DuckDB reads up to twice as slowly. A timestamp with time zone, as tables have it, appears as a plain
// timestamp in UTC, which is what a Spark session in UTC shows; make_timestamp(epoch_us()) says so ten times faster than a cast.
func view(v query.View, typed bool) (string, error) {
	var columns, types []string
	for _, f := range v.Schema.Fields() {
		t, err := typeName(f.Type)
		if err != nil {
			return "", fmt.Errorf("view %s: column %s: %w", v.Name, f.Name, err)
		}
		types = append(types, fmt.Sprintf("%s: {name: %s, type: %s, default_value: NULL}", text(f.Name), text(f.Name), text(t)))
		column := name(f.Name)
		if len(v.Files) == 0 {
			column = fmt.Sprintf("CAST(NULL AS %s)", t)
		}
		if t == zoned {
			column = fmt.Sprintf("make_timestamp(epoch_us(%s))", column)
		}
		columns = append(columns, column+" AS "+name(f.Name))
	}
	from, where := "", no
	if len(v.Files) > 0 {
		files := make([]string, len(v.Files))
		for i, file := range v.Files {
			files[i] = text(file)
		}
		how := "union_by_name = true"
		if typed {
			how = "schema = MAP {" + strings.Join(types, ", ") + "}"
		}
		from = fmt.Sprintf(" FROM read_parquet([%s], %s, hive_partitioning = false)", strings.Join(files, ", "), how)
		where = cut(v)
	}
	return fmt.Sprintf("CREATE TEMP VIEW %s AS SELECT %s%s WHERE %s%s", name(v.Name), strings.Join(columns, ", "), from, where, winner(v)), nil
}

// cut is the condition on the stored column, which DuckDB can hold against the statistics of the files.
func cut(v query.View) string {
	if v.Column == "" {
		return "true"
	}
	stamp := func(t time.Time) string {
		if f, ok := v.Schema.FieldsByName(v.Column); ok {
			if ts, ok := f[0].Type.(*arrow.TimestampType); ok && ts.TimeZone == "" {
				return "TIMESTAMP '" + t.UTC().Format("2006-01-02 15:04:05.999999") + "'"
			}
		}
		return "TIMESTAMPTZ '" + t.UTC().Format("2006-01-02 15:04:05.999999") + "+00'"
	}
	// The stored column, not its namesake of the select list: in a WHERE clause DuckDB prefers the former.
	return fmt.Sprintf("%s >= %s AND %s < %s", name(v.Column), stamp(v.From), name(v.Column), stamp(v.Until))
}

// winner keeps one row of each key.
func winner(v query.View) string {
	if len(v.Key) == 0 || len(v.Files) == 0 {
		return ""
	}
	keys := make([]string, len(v.Key))
	for i, key := range v.Key {
		keys[i] = name(key)
	}
	return fmt.Sprintf(" QUALIFY row_number() OVER (PARTITION BY %s ORDER BY %s DESC, %s, %s) = 1",
		strings.Join(keys, ", "), name(table.Window), name(table.Slice), name("_ordinal"))
}

const zoned = "TIMESTAMP WITH TIME ZONE"

func typeName(t arrow.DataType) (string, error) {
	switch t := t.(type) {
	case *arrow.Int64Type:
		return "BIGINT", nil
	case *arrow.Int32Type:
		return "INTEGER", nil
	case *arrow.Float64Type:
		return "DOUBLE", nil
	case *arrow.BooleanType:
		return "BOOLEAN", nil
	case *arrow.StringType:
		return "VARCHAR", nil
	case *arrow.BinaryType:
		return "BLOB", nil
	case *arrow.Date32Type:
		return "DATE", nil
	case *arrow.Decimal128Type:
		return fmt.Sprintf("DECIMAL(%d,%d)", t.Precision, t.Scale), nil
	case *arrow.TimestampType:
		if t.Unit == arrow.Microsecond && t.TimeZone == "" {
			return "TIMESTAMP", nil
		}
		if t.Unit == arrow.Microsecond && t.TimeZone == "UTC" {
			return zoned, nil
		}
	}
	return "", fmt.Errorf("type %s cannot be read", t)
}
