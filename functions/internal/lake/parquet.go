package lake

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/lake/columns"
	"github.com/almanac-data/almanac/functions/internal/lake/parquet"
)

// ParquetWriter writes rows into Parquet files <dir>/<digest>.parquet, and starts another file when one has reached the target size.
// The bytes depend on the rows and the schema alone, not on how the rows were cut into batches. It is not safe for concurrent use.
type ParquetWriter struct {
	// The context of the whole writing: callers' Write has none, as for any writer.
	ctx    context.Context //nolint:containedctx // lives as long as the writer does
	lake   *Lake
	dir    string
	schema *arrow.Schema
	file   *File
	out    *parquet.Writer
	done   []events.File
}

// NewParquet starts writing rows of the schema. Nothing is made before the first row; the caller ends it by Finish or Abort.
func (l *Lake) NewParquet(ctx context.Context, dir string, schema *arrow.Schema) *ParquetWriter {
	return &ParquetWriter{ctx: ctx, lake: l, dir: dir, schema: schema}
}

func (w *ParquetWriter) open() error {
	ids, err := columns.FieldIDs(w.schema)
	if err != nil {
		return err
	}
	if w.file, err = w.lake.Create(w.ctx, w.dir, "", ".parquet"); err != nil {
		return err
	}
	w.out, err = parquet.NewWriter(w.file, w.schema, ids)
	return err
}

// Write adds the rows of a batch. It keeps nothing of the batch.
func (w *ParquetWriter) Write(batch arrow.RecordBatch) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if batch.Schema() != w.schema && !batch.Schema().Equal(w.schema) {
		return fmt.Errorf("write rows: schema is %s, want %s", batch.Schema(), w.schema)
	}
	for from, n := int64(0), batch.NumRows(); from < n; {
		to, err := w.write(batch, from)
		if err != nil {
			return fmt.Errorf("write rows: %w", err)
		}
		from = to
	}
	return nil
}

// write adds rows up to the next boundary of pages, and ends the file there if it is large enough: so it ends where it does
// whatever the batches are.
func (w *ParquetWriter) write(batch arrow.RecordBatch, from int64) (to int64, err error) {
	if w.file == nil {
		if err := w.open(); err != nil {
			return 0, err
		}
	}
	room := int64(w.out.Room())
	to = min(batch.NumRows(), from+room)
	part := batch.NewSlice(from, to)
	defer part.Release()
	if err := w.out.Write(part); err != nil {
		return 0, err
	}
	if to-from == room && w.out.Size() >= w.lake.target {
		return to, w.next()
	}
	return to, nil
}

// next finishes the present file.
func (w *ParquetWriter) next() error {
	if err := w.out.Close(); err != nil {
		return fmt.Errorf("finish rows: %w", err)
	}
	w.file.AddRows(w.out.Rows())
	f, err := w.file.Finish()
	if err != nil {
		return err
	}
	w.file, w.out = nil, nil
	w.done = append(w.done, f)
	return nil
}

// Finish ends the writing and returns the files in the order of their rows: none if there were no rows.
func (w *ParquetWriter) Finish() ([]events.File, error) {
	if w.file != nil {
		if err := w.next(); err != nil {
			return nil, errors.Join(err, w.Abort())
		}
	}
	return w.done, nil
}

// Abort throws away the file in the making; those that were finished stay, unnamed by any table. After Finish it does nothing.
func (w *ParquetWriter) Abort() error {
	if w.file == nil {
		return nil
	}
	err := w.file.Abort()
	w.file = nil
	return err
}
