package lake

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/almanac-data/almanac/functions/internal/lake/fsys"
)

// Rows reads the rows of a Parquet file batch by batch.
type Rows struct {
	in     fsys.Reader
	reader pqarrow.RecordReader
}

var _ array.RecordReader = pqarrow.RecordReader(nil)

// batchRows is the most rows that a batch of Rows has.
const batchRows = 64 << 10

// ReadParquet reads the named columns of a file in the file's order, or all if none is named. The caller closes what it returns.
func (l *Lake) ReadParquet(ctx context.Context, name string, columns ...string) (*Rows, error) {
	in, err := l.OpenFile(ctx, name)
	if err != nil {
		return nil, err
	}
	reader, err := open(ctx, in, columns)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", name, err), in.Close())
	}
	return &Rows{in: in, reader: reader}, nil
}

func open(ctx context.Context, in fsys.Reader, columns []string) (pqarrow.RecordReader, error) {
	pf, err := file.NewParquetReader(in)
	if err != nil {
		return nil, err
	}
	reader, err := pqarrow.NewFileReader(pf, pqarrow.ArrowReadProperties{BatchSize: batchRows}, memory.DefaultAllocator)
	if err != nil {
		return nil, err
	}
	if len(columns) == 0 {
		return reader.GetRecordReader(ctx, nil, nil)
	}
	var indices []int
	for _, c := range columns {
		i := pf.MetaData().Schema.ColumnIndexByName(c)
		if i < 0 {
			return nil, fmt.Errorf("has no column %s", c)
		}
		indices = append(indices, i)
	}
	slices.Sort(indices)
	return reader.GetRecordReader(ctx, indices, nil)
}

// Schema is the schema of the batches.
func (r *Rows) Schema() *arrow.Schema { return r.reader.Schema() }

// Next reads the next batch, and says whether there was one.
func (r *Rows) Next() bool { return r.reader.Next() }

// RecordBatch is the batch that Next has read. It is valid until the next call of Next.
func (r *Rows) RecordBatch() arrow.RecordBatch { return r.reader.RecordBatch() }

// Err is what ended the reading too early, or nil.
func (r *Rows) Err() error {
	if err := r.reader.Err(); err != nil {
		return fmt.Errorf("read rows: %w", err)
	}
	return nil
}

// Close ends the reading.
func (r *Rows) Close() error {
	r.reader.Release()
	return r.in.Close()
}
