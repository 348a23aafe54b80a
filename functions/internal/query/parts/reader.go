package parts

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/almanac-data/almanac/functions/internal/query"
)

// reader reads part after part. The engine works on one at a time.
type reader struct {
	ctx    context.Context //nolint:containedctx // a reader is a query under way, and the interface has no place for it
	engine Engine
	query  query.Query // of the whole, its text bound
	keys   []arrow.Field
	by     string
	schema *arrow.Schema
	log    *slog.Logger
	parts  []extent
	next   int // the part to be opened
	in     array.RecordReader
	read   int64 // rows of in
	refs   atomic.Int64
	err    error
}

func (r *reader) Retain() { r.refs.Add(1) }

func (r *reader) Release() {
	if r.refs.Add(-1) == 0 {
		r.close()
	}
}

func (r *reader) close() {
	if r.in != nil {
		r.in.Release()
		r.in = nil
	}
}

func (r *reader) Schema() *arrow.Schema     { return r.schema }
func (r *reader) Record() arrow.RecordBatch { return r.RecordBatch() }
func (r *reader) Err() error                { return r.err }

func (r *reader) RecordBatch() arrow.RecordBatch {
	if r.in == nil {
		return nil
	}
	return r.in.RecordBatch()
}

// Next reads the next batch, and says whether there was one.
func (r *reader) Next() bool {
	for r.err == nil {
		if r.in == nil {
			if r.next == len(r.parts) {
				return false
			}
			if r.err = r.open(); r.err != nil {
				return false
			}
		}
		if r.in.Next() {
			r.read += r.in.RecordBatch().NumRows()
			if r.read <= r.parts[r.next-1].rows {
				return true
			}
			r.err = r.unlike("more")
			return false
		}
		r.err = r.end()
	}
	return false
}

func (r *reader) open() error {
	p := r.parts[r.next]
	r.next++
	r.log.InfoContext(r.ctx, "result in parts", "by", r.by, "part", r.next, "parts", len(r.parts), "rows", p.rows)
	q := r.query
	if len(r.parts) > 1 { // else it is the whole
		var err error
		if q.Text, err = within(q.Text, r.keys, p); err != nil {
			return err
		}
	}
	in, err := r.engine.Run(r.ctx, q)
	if err != nil {
		return err
	}
	r.in, r.read = in, 0
	if !in.Schema().Equal(r.schema) {
		return &query.Error{Detail: fmt.Sprintf("a part has the columns %s, and the whole has %s", in.Schema(), r.schema)}
	}
	return nil
}

// end checks a part that is read, and lets it go.
func (r *reader) end() error {
	if err := r.in.Err(); err != nil {
		return err
	}
	if r.read != r.parts[r.next-1].rows {
		return r.unlike("fewer")
	}
	r.close()
	return nil
}

// unlike is the error about a part that has more or fewer rows than were counted.
func (r *reader) unlike(rows string) error {
	return &query.Error{Detail: fmt.Sprintf("part %d of %d by %s has %s than the %d rows that were counted before: the text does not give the same answer twice,"+
		" so a result in parts would be wrong; give each LIMIT and row_number() an order that leaves no ties, or leave out part_by",
		r.next, len(r.parts), r.by, rows, r.parts[r.next-1].rows)}
}
