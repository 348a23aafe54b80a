package parts

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/almanac-data/almanac/functions/internal/query"
)

// grain is into how many chunks the rows of a part are counted: so many lines at most are read for each part, whatever the number of values.
const grain = 64

// extent is a range of keys that follow each other, and how many rows have them.
type extent struct {
	exact     []value // of the columns before the last one; null is a value like any other
	low, high value   // of the last column, both inclusive; both are null, or none
	rows      int64
}

// counting is the text that answers the counts. It stands before and behind the query's text, whose lines keep their numbers.
//
// Values are counted, put in their order, and each goes to the chunk that its first row lies in. The engine does that, since it may have as many
// values as rows. The null is a chunk by itself.
func counting(text string, keys []arrow.Field, rows int64) string {
	var values, by, names []string
	for i, k := range keys {
		values = append(values, fmt.Sprintf("%s AS k%d", quoted(k.Name), i))
		by = append(by, quoted(k.Name))
		names = append(names, fmt.Sprintf("k%d", i))
	}
	last := names[len(names)-1]
	exact := names[:len(names)-1]
	over := "ORDER BY " + last + " NULLS LAST ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
	if len(exact) > 0 {
		over = "PARTITION BY " + strings.Join(exact, ", ") + " " + over
	}
	groups := strings.Join(append(slices.Clone(exact), "absent", "chunk"), ", ")
	return fmt.Sprintf("SELECT %s, min(%s) AS low, max(%s) AS high, CAST(sum(n) AS BIGINT) AS n FROM ("+
		"SELECT *, %s IS NULL AS absent, before - before %% CAST(%d AS BIGINT) AS chunk FROM ("+
		"SELECT *, CAST(sum(n) OVER (%s) AS BIGINT) - n AS before FROM (SELECT %s, CAST(count(*) AS BIGINT) AS n FROM (%s\n) AS result"+
		" GROUP BY %s) AS counted) AS placed) AS chunked GROUP BY %s",
		groups, last, last, last, max(1, rows/grain), over, strings.Join(values, ", "), text, strings.Join(by, ", "), groups)
}

// count reads the counts, in the order of the keys.
func count(ctx context.Context, e Engine, q query.Query, text string) ([]extent, error) {
	q.Text, q.OrderBy = text, nil // the order of all columns is that of the keys
	r, err := e.Run(ctx, q)
	if err != nil {
		return nil, err
	}
	defer r.Release()
	var all []extent
	for r.Next() {
		b := r.RecordBatch()
		low := int(b.NumCols()) - 3
		for row := range int(b.NumRows()) {
			x := extent{low: valueOf(b.Column(low), row), high: valueOf(b.Column(low+1), row), rows: b.Column(low + 2).(*array.Int64).Value(row)}
			for c := range low - 2 { // but absent and chunk
				x.exact = append(x.exact, valueOf(b.Column(c), row))
			}
			all = append(all, x)
		}
	}
	return all, r.Err()
}

// pack joins neighbours as long as they have no more than so many rows.
func pack(all []extent, rows int64) []extent {
	var parts []extent
	for _, x := range all {
		if n := len(parts) - 1; n >= 0 && parts[n].joins(x) && parts[n].rows+x.rows <= rows {
			parts[n].high, parts[n].rows = x.high, parts[n].rows+x.rows
		} else {
			parts = append(parts, x)
		}
	}
	return parts
}

// joins says whether a range of keys and the one that follows it are one range.
func (x extent) joins(next extent) bool {
	return slices.Equal(x.exact, next.exact) && !x.low.null && !next.low.null
}

type comparison struct {
	column   arrow.Field
	operator string
	value    value
}

// within is the text cut to a range of keys.
func within(text string, keys []arrow.Field, x extent) (string, error) {
	last := len(keys) - 1
	all := make([]comparison, 0, last+2)
	for i, v := range x.exact {
		all = append(all, comparison{keys[i], "=", v})
	}
	if x.low == x.high {
		all = append(all, comparison{keys[last], "=", x.low})
	} else {
		all = append(all, comparison{keys[last], ">=", x.low}, comparison{keys[last], "<=", x.high})
	}
	conditions := make([]string, len(all))
	for i, c := range all {
		sql, err := c.value.condition(c.column, c.operator)
		if err != nil {
			return "", err
		}
		conditions[i] = sql
	}
	return "SELECT * FROM (" + text + "\n) AS result WHERE " + strings.Join(conditions, " AND "), nil
}

// quoted is a name as both engines read it.
func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
