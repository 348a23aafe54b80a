// Package parts runs one query as several, whose results are read one after the other as the one that the query has: for results that an
// engine cannot hold as a whole. What is read is the same sequence of rows.
package parts

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/almanac-data/almanac/functions/internal/query"
)

// Engine answers SQL. Mistakes of the text are a query.Error.
type Engine interface {
	// Run returns the ordered result, streamed. The caller releases it.
	Run(ctx context.Context, q query.Query) (array.RecordReader, error)
	// Check returns the schema of the result without running the query.
	Check(ctx context.Context, q query.Query) (*arrow.Schema, error)
}

// Bound is how a result is divided.
type Bound struct {
	// By is the column of the result, one of the query's OrderBy, that parts are ranges of; rows that differ in a column before it
	// are in different parts.
	By string
	// Rows is how many a part has at most, unless one value has more: that is never divided, and a few rows of the values before it may be with it.
	Rows int64
}

// Run asks the engine for how many rows there are of each value, packs values that follow each other into parts, and answers the query
// part by part, each when the one before it is read. Each part computes the text anew, so what it answers must not change: a part that has
// other rows than were counted is a query.Error. The caller releases the reader.
func Run(ctx context.Context, e Engine, q query.Query, b Bound, log *slog.Logger) (array.RecordReader, error) {
	if b.Rows < 1 {
		return nil, fmt.Errorf("a part cannot have %d rows", b.Rows)
	}
	schema, err := e.Check(ctx, q)
	if err != nil {
		return nil, err
	}
	keys, err := keysOf(schema, q.OrderBy, b.By)
	if err != nil {
		return nil, err
	}
	text, err := q.Bound()
	if err != nil {
		return nil, err
	}
	counted, err := count(ctx, e, q, counting(text, keys, b.Rows))
	if err != nil {
		return nil, err
	}
	q.Text = text
	r := &reader{ctx: ctx, engine: e, query: q, keys: keys, by: b.By, schema: schema, log: log, parts: pack(counted, b.Rows)}
	r.refs.Store(1)
	return r, nil
}

// Check says whether a result that is ordered by some of its columns can be made in parts by one of them; if not, that is a query.Error.
func Check(schema *arrow.Schema, order []string, by string) error {
	_, err := keysOf(schema, order, by)
	return err
}

// keysOf are the columns that parts are ranges of: those of the order up to the one that is named.
func keysOf(schema *arrow.Schema, order []string, by string) ([]arrow.Field, error) {
	last := slices.IndexFunc(order, func(name string) bool { return strings.EqualFold(name, by) })
	if last < 0 {
		return nil, &query.Error{Detail: fmt.Sprintf("parts cannot be made by %s, by which the result is not ordered", by)}
	}
	keys := make([]arrow.Field, 0, last+1)
	for _, name := range order[:last+1] {
		i := slices.IndexFunc(schema.Fields(), func(f arrow.Field) bool { return strings.EqualFold(f.Name, name) })
		if i < 0 {
			return nil, &query.Error{Detail: fmt.Sprintf("order_by names %s, which the result does not have", name)}
		}
		f := schema.Field(i)
		if !divides(f.Type) {
			return nil, &query.Error{Detail: fmt.Sprintf("parts cannot be made by %s, which is %s: "+
				"name an integer, a decimal, a text, a date, a timestamp or a boolean", name, f.Type)}
		}
		keys = append(keys, f)
	}
	return keys, nil
}
