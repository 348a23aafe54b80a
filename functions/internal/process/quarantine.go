package process

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/process/parse"
)

// enough is the size at which a quarantine block is written before its raw block ends.
const enough = 512 << 10

// withheldDetail stands for a detail, which may show any part of the record.
const withheldDetail = "the detail is withheld, as the record is sealed"

// quarantine collects refused records into blocks.
type quarantine struct {
	out      block.Appender
	contract string
	build    *array.RecordBuilder
	bytes    int // of the texts that are collected

	index    int
	file     string
	offset   int64
	withhold bool // the records are sealed in the archive, and stay there
}

func newQuarantine(d *dataset.Dataset, out block.Appender) *quarantine {
	return &quarantine{out: out, contract: d.Version, build: array.NewRecordBuilder(memory.DefaultAllocator, block.Quarantine)}
}

// at says which raw block the next records lie in.
func (q *quarantine) at(index int, file string, offset int64) {
	q.index, q.file, q.offset = index, file, offset
}

// add takes one refused record.
func (q *quarantine) add(ctx context.Context, r parse.Reject) error {
	if q.withhold {
		r.Original, r.Detail = []byte(block.Withheld), withheldDetail
	}
	text := func(column int, s string) { q.build.Field(column).(*array.StringBuilder).Append(s) }
	q.build.Field(0).(*array.BinaryBuilder).Append(r.Original)
	text(1, r.Reason)
	text(2, "")
	text(3, r.Column)
	text(4, r.Detail)
	if r.Day == "" {
		q.build.Field(5).AppendNull()
	} else {
		text(5, r.Day)
	}
	q.build.Field(6).(*array.Int64Builder).Append(r.Ordinal)
	text(7, q.file)
	q.build.Field(8).(*array.Int64Builder).Append(q.offset)
	text(9, q.contract)
	q.bytes += len(r.Original) + len(r.Detail) + len(q.file) + 100
	if q.bytes < enough {
		return nil
	}
	return q.flush(ctx)
}

// flush writes what is collected; the raw block ends, or has very many refused records.
func (q *quarantine) flush(ctx context.Context) error {
	if q.bytes == 0 {
		return nil
	}
	q.bytes = 0
	batch := q.build.NewRecordBatch()
	defer batch.Release()
	value, err := block.Encode(batch)
	if err != nil {
		return err
	}
	return q.out.Append(ctx, block.Block{Index: q.index, Rows: batch.NumRows(), Value: value})
}

func (q *quarantine) close() { q.build.Release() }
