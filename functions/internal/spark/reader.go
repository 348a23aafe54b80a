package spark

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/almanac-data/almanac/functions/internal/query"
	"github.com/almanac-data/almanac/functions/internal/spark/connect"
	"github.com/almanac-data/almanac/functions/internal/spark/vector"
)

// reader streams a result as Arrow batches. It holds one batch at a time; while nobody asks for the next, gRPC's flow control stops the server.
type reader struct {
	ctx     context.Context //nolint:containedctx // a reader is a query under way, and the interface has no place for it
	engine  *Engine
	session *connect.Session
	stream  *connect.Stream
	schema  *arrow.Schema
	batches *ipc.Reader // of the message that was read last
	batch   arrow.RecordBatch
	refs    atomic.Int64
	done    bool
	err     error
}

func newReader(ctx context.Context, e *Engine, s *connect.Session, stream *connect.Stream, schema *arrow.Schema) *reader {
	r := &reader{ctx: ctx, engine: e, session: s, stream: stream, schema: schema}
	r.refs.Store(1)
	return r
}

func (r *reader) Retain() { r.refs.Add(1) }

// Release ends the query.
func (r *reader) Release() {
	if r.refs.Add(-1) != 0 {
		return
	}
	r.drop()
	r.forget()
	err := r.stream.Close(r.ctx)
	if err != nil {
		r.engine.log.WarnContext(r.ctx, "spark query not ended", "error", err.Error())
	}
	if r.done && r.err == nil && err == nil {
		r.engine.sessions.giveBack(r.ctx, r.session)
	} else {
		r.engine.sessions.end(r.ctx, r.session)
	}
}

func (r *reader) drop() {
	if r.batch != nil {
		r.batch.Release()
		r.batch = nil
	}
}

func (r *reader) forget() {
	if r.batches != nil {
		r.batches.Release()
		r.batches = nil
	}
}

func (r *reader) Schema() *arrow.Schema          { return r.schema }
func (r *reader) RecordBatch() arrow.RecordBatch { return r.batch }
func (r *reader) Record() arrow.RecordBatch      { return r.batch }
func (r *reader) Err() error                     { return r.err }

// Next reads the next batch, and says whether there was one.
func (r *reader) Next() bool {
	r.drop()
	for !r.done {
		err := r.read()
		switch {
		case errors.Is(err, io.EOF):
			r.done = true
		case err != nil:
			r.done, r.err = true, judged(err)
		case r.batch.NumRows() > 0:
			return true
		default:
			r.drop()
		}
	}
	return false
}

// read makes r.batch of the next batch that Spark sends.
func (r *reader) read() (err error) {
	defer func() {
		if v := recover(); v != nil { // of the Arrow library, about bytes that are not what they say
			err = fmt.Errorf("read batch of spark: %v", v)
		}
	}()
	for {
		if r.batches == nil {
			data, err := r.stream.Next()
			if err != nil {
				return err
			}
			if r.batches, err = ipc.NewReader(bytes.NewReader(data)); err != nil {
				return fmt.Errorf("read batch of spark: %w", err)
			}
		}
		if r.batches.Next() {
			r.batch, err = r.convert(r.batches.RecordBatch())
			return err
		}
		if err := r.batches.Err(); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read batch of spark: %w", err)
		}
		r.forget()
	}
}

func (r *reader) convert(in arrow.RecordBatch) (arrow.RecordBatch, error) {
	if int(in.NumCols()) != r.schema.NumFields() {
		return nil, fmt.Errorf("read batch of spark: it has %d columns, want %d", in.NumCols(), r.schema.NumFields())
	}
	columns := make([]arrow.Array, 0, in.NumCols())
	defer func() {
		for _, c := range columns {
			c.Release()
		}
	}()
	for i, c := range in.Columns() {
		out, err := vector.Cast(c, r.schema.Field(i).Type)
		if err != nil {
			return nil, &query.Error{Detail: fmt.Sprintf("column %s: %v", r.schema.Field(i).Name, err)}
		}
		columns = append(columns, out)
	}
	return array.NewRecordBatch(r.schema, columns, in.NumRows()), nil
}
