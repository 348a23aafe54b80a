package lake

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/almanac-data/almanac/events"
)

// ParquetWriter writes rows into Parquet files <dir>/<digest>.parquet, and starts another file when one has reached the target size.
// The bytes depend on the rows and the schema alone, not on how the rows were cut into batches. It is not safe for concurrent use.
type ParquetWriter struct {
	ctx    context.Context // of the whole writing, given to NewParquet
	lake   *Lake
	dir    string
	schema *arrow.Schema
	named  *arrow.Schema // the same with field ids
	file   *File
	out    *pqarrow.FileWriter
	done   []events.File
}

// NewParquet starts writing rows of the schema. Nothing is made before the first row; the caller ends it by Finish or Abort.
func (l *Lake) NewParquet(ctx context.Context, dir string, schema *arrow.Schema) *ParquetWriter {
	return &ParquetWriter{ctx: ctx, lake: l, dir: dir, schema: schema}
}

func (w *ParquetWriter) open() error {
	ids, err := fieldIDs(w.schema)
	if err != nil {
		return err
	}
	fields := w.schema.Fields()
	for i := range fields {
		fields[i].Metadata = arrow.NewMetadata([]string{"PARQUET:field_id"}, []string{strconv.Itoa(ids[i])})
	}
	if w.file, err = w.lake.Create(w.ctx, w.dir, "", ".parquet"); err != nil {
		return err
	}
	w.named = arrow.NewSchema(fields, nil)
	w.out, err = pqarrow.NewFileWriter(w.named, w.file,
		parquet.NewWriterProperties(parquet.WithCompression(compress.Codecs.Zstd), parquet.WithCreatedBy("almanac"), parquet.WithMaxRowGroupLength(1<<20)),
		pqarrow.NewArrowWriterProperties(pqarrow.WithCoerceTimestamps(arrow.Microsecond)))
	return err
}

// Write adds the rows of a batch. It keeps nothing of the batch.
func (w *ParquetWriter) Write(batch arrow.RecordBatch) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if !batch.Schema().Equal(w.schema) {
		return fmt.Errorf("write rows: schema is %s, want %s", batch.Schema(), w.schema)
	}
	if batch.NumRows() == 0 {
		return nil
	}
	if w.file == nil {
		if err := w.open(); err != nil {
			return fmt.Errorf("write rows: %w", err)
		}
	}
	named := array.NewRecordBatch(w.named, batch.Columns(), batch.NumRows())
	defer named.Release()
	if err := w.out.WriteBuffered(named); err != nil {
		return fmt.Errorf("write rows: %w", err)
	}
	w.file.AddRows(batch.NumRows())
	if w.out.TotalCompressedBytes() >= w.lake.config.target {
		return w.next()
	}
	return nil
}

// next finishes the present file.
func (w *ParquetWriter) next() error {
	if err := w.out.Close(); err != nil {
		return fmt.Errorf("finish rows: %w", err)
	}
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
