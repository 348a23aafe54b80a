// Package parquet writes Parquet files straight from the buffers of Arrow arrays.
//
// It knows flat schemas of the types that Almanac stores, one codec (zstd) and three encodings (dictionary, differences, plain), and is made for
// what Almanac writes: few distinct values, constant columns, counters. The bytes of a file are a function of its schema and rows alone.
package parquet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/klauspost/compress/zstd"

	"github.com/almanac-data/almanac/functions/internal/lake/parquet/column"
	"github.com/almanac-data/almanac/functions/internal/lake/parquet/encoding"
	"github.com/almanac-data/almanac/functions/internal/lake/parquet/schema"
)

const (
	pageRows   = 1 << 15  // rows of a page
	groupRows  = 1 << 20  // a row group ends after this many rows,
	groupBytes = 64 << 20 // or at the end of a page when it has this many bytes

	keepBytes = 8 << 20 // a column with more memory than this is not kept for the next file

	magic     = "PAR1"
	createdBy = "almanac version 1.0.0 (build 0)" // fixed: part of what files are named after
)

// Writer writes one file. It is not safe for concurrent use.
type Writer struct {
	w       io.Writer
	offset  int64
	columns []*column.Column
	zstd    *zstd.Encoder // of the columns
	rows    int64
	inPage  int // rows since the last page boundary
	group   int64
	groups  int
	footer  encoding.Thrift // of the row groups
	ended   []byte
	err     error
}

// columns holds the memory of columns of files that are finished.
var columns = sync.Pool{New: func() any { return new(column.Column) }}

// encoders are shared: each holds some megabytes.
var encoders = sync.Pool{New: func() any {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false), zstd.WithAllLitEntropyCompression(true), zstd.WithWindowSize(1<<20))
	if err != nil {
		return err
	}
	return e
}}

// NewWriter starts a file of the schema; ids are the Iceberg field ids of its columns.
func NewWriter(w io.Writer, of *arrow.Schema, ids []int) (*Writer, error) {
	if of.NumFields() == 0 || len(ids) != of.NumFields() {
		return nil, fmt.Errorf("start parquet file: %d columns and %d field ids", of.NumFields(), len(ids))
	}
	enc, ok := encoders.Get().(*zstd.Encoder)
	if !ok {
		return nil, errors.New("start parquet file: no zstd")
	}
	out := &Writer{w: w, zstd: enc, columns: make([]*column.Column, of.NumFields())}
	for i, f := range of.Fields() {
		described, err := schema.New(f, ids[i])
		if err != nil {
			return nil, fmt.Errorf("start parquet file: %w", err)
		}
		c, _ := columns.Get().(*column.Column)
		c.Use(described, enc)
		out.columns[i] = c
	}
	return out, out.write([]byte(magic))
}

func (w *Writer) write(p []byte) error {
	if w.err == nil {
		var n int
		n, w.err = w.w.Write(p)
		w.offset += int64(n)
	}
	return w.err
}

// Write adds the rows of a batch of the schema. It keeps nothing of the batch.
func (w *Writer) Write(batch arrow.RecordBatch) error {
	if w.err != nil {
		return w.err
	}
	if int(batch.NumCols()) != len(w.columns) {
		return fmt.Errorf("batch has %d columns, want %d", batch.NumCols(), len(w.columns))
	}
	for from, n := 0, int(batch.NumRows()); from < n; {
		some := min(n-from, w.Room())
		for i := range w.columns {
			if err := w.columns[i].Append(batch.Column(i), from, some); err != nil {
				w.err = err
				return err
			}
		}
		from += some
		w.rows += int64(some)
		w.group += int64(some)
		w.inPage += some
		if w.inPage == pageRows {
			if err := w.endPages(); err != nil {
				return err
			}
		}
	}
	return nil
}

// Room is how many rows go to the next boundary of pages, where Size is told and a file is best ended.
func (w *Writer) Room() int { return pageRows - w.inPage }

// Rows is how many rows were written.
func (w *Writer) Rows() int64 { return w.rows }

// Size is how large the file is up to the last boundary of pages. It depends on the rows alone.
func (w *Writer) Size() int64 {
	size := w.offset
	for _, c := range w.columns {
		size += int64(c.Size())
	}
	return size
}

// endPages ends the page of every column, and the row group if it is large enough.
func (w *Writer) endPages() error {
	w.inPage = 0
	var size int
	for _, c := range w.columns {
		c.EndPage()
		size += c.Size()
	}
	if w.group >= groupRows || size >= groupBytes {
		return w.endGroup()
	}
	return nil
}

// endGroup writes the row group and keeps its metadata for the footer.
func (w *Writer) endGroup() error {
	start := w.offset
	var raw int64
	for _, c := range w.columns {
		if err := c.End(writerFunc(w.write), w.offset); err != nil {
			return err
		}
		raw += c.RawSize()
	}
	t := &w.footer
	t.Reset(w.ended)
	t.Structs(1, len(w.columns))
	for _, c := range w.columns {
		t.Item(func() {
			t.I64(2, start)
			t.Struct(3, func() { c.Metadata(t) })
		})
	}
	t.I64(2, raw)
	t.I64(3, w.group)
	t.I64(5, start)
	t.I64(6, w.offset-start)
	w.ended = t.Bytes()
	w.groups++
	w.group = 0
	for _, c := range w.columns {
		c.Start()
	}
	return nil
}

type writerFunc func([]byte) error

func (f writerFunc) Write(p []byte) (int, error) { return len(p), f(p) }

// Close writes what is left and the footer. It does not close the underlying writer.
func (w *Writer) Close() error {
	if w.err != nil {
		return w.err
	}
	if w.group > 0 {
		if err := w.endGroup(); err != nil {
			return err
		}
	}
	var t encoding.Thrift
	t.Reset(nil)
	t.I32(1, 2)
	t.Structs(2, len(w.columns)+1)
	t.Item(func() { t.Binary(4, []byte("schema")); t.I32(5, int32(len(w.columns))) })
	for _, c := range w.columns {
		t.Item(func() { c.Element(&t) })
	}
	t.I64(3, w.rows)
	t.Structs(4, w.groups)
	t.Raw(w.ended)
	t.Binary(6, []byte(createdBy))
	t.Structs(7, len(w.columns))
	for range w.columns {
		t.Item(func() { t.Struct(1, func() {}) })
	}
	footer := t.Bytes()
	footer = binary.LittleEndian.AppendUint32(footer, uint32(len(footer)))
	w.release()
	return w.write(append(footer, magic...))
}

// release gives the memory to the next file.
func (w *Writer) release() {
	encoders.Put(w.zstd)
	for _, c := range w.columns {
		if c.Memory() < keepBytes {
			columns.Put(c)
		}
	}
	w.columns = nil
}
