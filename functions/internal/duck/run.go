package duck

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	bindings "github.com/duckdb/duckdb-go-bindings"
	"github.com/duckdb/duckdb-go/v2/mapping"

	"github.com/almanac-data/almanac/functions/internal/duck/vector"
	"github.com/almanac-data/almanac/functions/internal/query"
)

// Run answers a query. The result is ordered by the query's OrderBy and then by all other columns, nulls last, so that it is one and
// the same sequence of rows whenever it is run; it is computed while it is read, and never held as a whole. The caller releases the reader.
//
// A mistake of the query's text is a query.Error, also when it shows only while the result is read. Ending ctx ends the query.
func (e *Engine) Run(ctx context.Context, q query.Query) (array.RecordReader, error) {
	s, err := e.prepared(ctx, q)
	if err != nil {
		return nil, err
	}
	r, err := s.run(ctx, q)
	if err != nil {
		s.close()
		return nil, err
	}
	return r, nil
}

// Check binds a query without running it, and returns the schema of its result. Files of its views are looked at, but need not be there
// if the views name none.
func (e *Engine) Check(ctx context.Context, q query.Query) (*arrow.Schema, error) {
	s, err := e.prepared(ctx, q)
	if err != nil {
		return nil, err
	}
	defer s.close()
	schema, _, err := s.bind(q)
	return schema, ended(ctx, err)
}

// prepared is a session with the views of the query.
func (e *Engine) prepared(ctx context.Context, q query.Query) (*session, error) {
	s, err := e.connect()
	if err != nil {
		return nil, err
	}
	s.watch(ctx)
	for _, v := range q.Views {
		if err := s.view(v); err != nil {
			s.close()
			return nil, ended(ctx, fmt.Errorf("make view %s: %w", v.Name, err))
		}
	}
	return s, nil
}

// view makes a view, if need be one with columns that no file has.
func (s *session) view(v query.View) error {
	sql, err := view(v, false)
	if err != nil {
		return err
	}
	if err := s.exec(sql); err == nil || !strings.HasPrefix(err.Error(), "Binder Error") {
		return err
	}
	if sql, err = view(v, true); err != nil {
		return err
	}
	return s.exec(sql)
}

// ended puts the reason why ctx has ended before an error that this caused.
func ended(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return err
}

func (s *session) prepare(sql string) (mapping.PreparedStatement, error) {
	var stmt mapping.PreparedStatement
	if mapping.Prepare(s.conn, sql, &stmt) == mapping.StateError {
		err := explain(mapping.PrepareError(stmt))
		mapping.DestroyPrepare(&stmt)
		return stmt, err
	}
	return stmt, nil
}

// bind checks the text as it was written, so that messages name its lines, and returns the result's schema.
func (s *session) bind(q query.Query) (*arrow.Schema, []vector.Column, error) {
	sql, err := q.Bound()
	if err != nil {
		return nil, nil, err
	}
	stmt, err := s.prepare(sql)
	if err != nil {
		return nil, nil, err
	}
	defer mapping.DestroyPrepare(&stmt)
	if mapping.PreparedStatementType(stmt) != mapping.StatementTypeSelect {
		return nil, nil, &query.Error{Line: 1, Detail: "the text is not a SELECT"}
	}
	var fields []arrow.Field
	var columns []vector.Column
	seen := map[string]bool{}
	for i := range mapping.PreparedStatementColumnCount(stmt) {
		column := mapping.PreparedStatementColumnName(stmt, i)
		logical := mapping.PreparedStatementColumnLogicalType(stmt, i)
		c, err := vector.Of(mapping.PreparedStatementColumnType(stmt, i), logical)
		mapping.DestroyLogicalType(&logical)
		if err != nil {
			return nil, nil, &query.Error{Detail: fmt.Sprintf("column %s: %v", column, err)}
		}
		if seen[strings.ToLower(column)] {
			return nil, nil, &query.Error{Detail: fmt.Sprintf("two columns are named %s: name one otherwise", column)}
		}
		seen[strings.ToLower(column)] = true
		fields = append(fields, arrow.Field{Name: column, Type: c.Type, Nullable: true})
		columns = append(columns, c)
	}
	for _, by := range q.OrderBy {
		if !seen[strings.ToLower(by)] {
			return nil, nil, &query.Error{Detail: fmt.Sprintf("order_by names %s, which the result does not have", by)}
		}
	}
	return arrow.NewSchema(fields, nil), columns, nil
}

// ordered wraps the text so that its result is one sequence.
func ordered(sql string, q query.Query, schema *arrow.Schema) string {
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
	return "FROM (" + sql + "\n) AS result ORDER BY " + strings.Join(by, ", ")
}

func (s *session) run(ctx context.Context, q query.Query) (*reader, error) {
	schema, columns, err := s.bind(q)
	if err != nil {
		return nil, ended(ctx, err)
	}
	sql, err := q.Bound()
	if err != nil {
		return nil, err
	}
	stmt, err := s.prepare(ordered(sql, q, schema))
	if err != nil {
		return nil, ended(ctx, err)
	}
	defer mapping.DestroyPrepare(&stmt)
	var pending mapping.PendingResult
	defer func() { mapping.DestroyPending(&pending) }()
	if bindings.PendingPreparedStreaming(stmt, &pending) == mapping.StateError {
		return nil, ended(ctx, explain(mapping.PendingError(pending)))
	}
	r := &reader{ctx: ctx, session: s, schema: schema, columns: columns, valid: make([]bool, mapping.VectorSize())}
	if mapping.ExecutePending(pending, &r.result) == mapping.StateError {
		err := explain(mapping.ResultError(&r.result))
		mapping.DestroyResult(&r.result)
		return nil, ended(ctx, err)
	}
	r.refs.Store(1)
	r.builder = array.NewRecordBuilder(memory.DefaultAllocator, schema)
	return r, nil
}

// batchRows is how many rows a batch has at least, unless it is the last.
const batchRows = 16 << 10

// reader streams a result as Arrow batches.
type reader struct {
	ctx     context.Context //nolint:containedctx // a reader is a query under way, and the interface has no place for it
	session *session
	result  mapping.Result
	schema  *arrow.Schema
	columns []vector.Column
	builder *array.RecordBuilder
	valid   []bool
	batch   arrow.RecordBatch
	refs    atomic.Int64
	done    bool
	err     error
}

func (r *reader) Retain() { r.refs.Add(1) }

func (r *reader) Release() {
	if r.refs.Add(-1) != 0 {
		return
	}
	r.drop()
	r.builder.Release()
	mapping.DestroyResult(&r.result)
	r.session.close()
}

func (r *reader) drop() {
	if r.batch != nil {
		r.batch.Release()
		r.batch = nil
	}
}

func (r *reader) Schema() *arrow.Schema          { return r.schema }
func (r *reader) RecordBatch() arrow.RecordBatch { return r.batch }
func (r *reader) Record() arrow.RecordBatch      { return r.batch }
func (r *reader) Err() error                     { return r.err }

// Next reads the next batch, and says whether there was one.
func (r *reader) Next() bool {
	r.drop()
	rows := 0
	for rows < batchRows && !r.done {
		n, err := r.fetch()
		if err == nil {
			err = r.ctx.Err()
		}
		if err != nil {
			r.done, r.err = true, ended(r.ctx, err)
			return false
		}
		rows += n
		r.done = n == 0
	}
	if rows == 0 {
		return false
	}
	r.batch = r.builder.NewRecordBatch()
	return true
}

// fetch copies one chunk and returns its rows: 0 at the end of the result.
func (r *reader) fetch() (int, error) {
	chunk := mapping.FetchChunk(r.result)
	if chunk.Ptr == nil {
		// Nothing tells the end from a failure but the error of the result.
		if message := mapping.ResultError(&r.result); message != "" {
			return 0, explain(message)
		}
		return 0, nil
	}
	defer mapping.DestroyDataChunk(&chunk)
	n := int(mapping.DataChunkGetSize(chunk))
	for i, c := range r.columns {
		err := c.Append(r.builder.Field(i), mapping.DataChunkGetVector(chunk, mapping.IdxT(i)), n, r.valid)
		if err != nil {
			return 0, &query.Error{Detail: fmt.Sprintf("column %s: %v", r.schema.Field(i).Name, err)}
		}
	}
	return n, nil
}
