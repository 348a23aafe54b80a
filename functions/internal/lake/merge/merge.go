// Package merge makes one Parquet file of several by copying their row groups: nothing is decoded, so it costs as much as copying the bytes.
package merge

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
)

const magic = "PAR1"

// copyBytes is how many bytes are read at once: each read may be a request to a server.
const copyBytes = 4 << 20

// Writer writes one file that has the row groups of others, in the order in which they were added. Its bytes depend on those of the others
// alone. It holds the metadata of all row groups and a buffer of 4 MiB. It is not safe for concurrent use.
type Writer struct {
	out    io.Writer
	offset int64
	meta   *metadata.FileMetaData // of what was added
	buffer []byte
}

// New starts a file.
func New(out io.Writer) *Writer { return &Writer{out: out} }

// Rows is how many rows were added.
func (w *Writer) Rows() int64 {
	if w.meta == nil {
		return 0
	}
	return w.meta.NumRows
}

// Add copies the row groups of a file of this package or of package parquet of the lake, whose columns must be those of the files before.
func (w *Writer) Add(in parquet.ReaderAtSeeker) error {
	source, err := file.NewParquetReader(in)
	if err != nil {
		return fmt.Errorf("merge: %w", err)
	}
	meta := source.MetaData()
	if w.meta == nil {
		if err := w.write([]byte(magic)); err != nil {
			return err
		}
	}
	for _, group := range meta.RowGroups {
		if group.FileOffset == nil || group.TotalCompressedSize == nil {
			return errors.New("merge: a row group does not say where it lies")
		}
		start := *group.FileOffset
		shift := w.offset - start
		if err := w.copy(io.NewSectionReader(in, start, *group.TotalCompressedSize)); err != nil {
			return err
		}
		*group.FileOffset += shift
		for _, c := range group.Columns {
			if c.OffsetIndexOffset != nil || c.ColumnIndexOffset != nil || c.MetaData.IndexPageOffset != nil || c.MetaData.BloomFilterOffset != nil {
				return errors.New("merge: a column has an index outside of its row group")
			}
			c.FileOffset += shift
			c.MetaData.DataPageOffset += shift
			if c.MetaData.DictionaryPageOffset != nil {
				*c.MetaData.DictionaryPageOffset += shift
			}
		}
	}
	if w.meta == nil {
		w.meta = meta
		return nil
	}
	if err := w.meta.AppendRowGroups(meta); err != nil {
		return fmt.Errorf("merge: %w", err)
	}
	return nil
}

func (w *Writer) write(p []byte) error {
	n, err := w.out.Write(p)
	w.offset += int64(n)
	return err
}

func (w *Writer) copy(from *io.SectionReader) error {
	if w.buffer == nil {
		w.buffer = make([]byte, copyBytes)
	}
	for left := from.Size(); left > 0; {
		p := w.buffer[:min(left, copyBytes)]
		if _, err := io.ReadFull(from, p); err != nil {
			return fmt.Errorf("merge: read row group: %w", err)
		}
		if err := w.write(p); err != nil {
			return err
		}
		left -= int64(len(p))
	}
	return nil
}

// Close writes the footer. It does not close the underlying writer.
func (w *Writer) Close() error {
	if w.meta == nil {
		return errors.New("merge: no file was added")
	}
	before := w.offset
	if _, err := w.meta.WriteTo(writerFunc(w.write), nil); err != nil {
		return fmt.Errorf("merge: write footer: %w", err)
	}
	return w.write(append(binary.LittleEndian.AppendUint32(nil, uint32(w.offset-before)), magic...))
}

type writerFunc func([]byte) error

func (f writerFunc) Write(p []byte) (int, error) { return len(p), f(p) }
