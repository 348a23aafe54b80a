package block

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/almanac-data/almanac/functions/internal/block/pack"
	"github.com/almanac-data/almanac/functions/internal/dataset"
)

// Ordinal is the column that numbers the records of a slice, from 0, in the order of the source.
const Ordinal = "_ordinal"

// ArrowType is the Arrow type of a column.
func ArrowType(c dataset.Column) arrow.DataType {
	switch c.Type {
	case dataset.Integer:
		return arrow.PrimitiveTypes.Int64
	case dataset.Number:
		return arrow.PrimitiveTypes.Float64
	case dataset.Decimal:
		return &arrow.Decimal128Type{Precision: int32(c.Precision), Scale: int32(c.Scale)}
	case dataset.Boolean:
		return arrow.FixedWidthTypes.Boolean
	case dataset.Date:
		return arrow.FixedWidthTypes.Date32
	case dataset.Timestamp:
		return arrow.FixedWidthTypes.Timestamp_us
	case dataset.String:
	}
	return arrow.BinaryTypes.String
}

// Schema is the schema of the rows blocks of a dataset: its columns and the ordinal.
func Schema(d *dataset.Dataset) *arrow.Schema {
	fields := make([]arrow.Field, 0, len(d.Columns)+1)
	for _, c := range d.Columns {
		fields = append(fields, arrow.Field{Name: c.Name, Type: ArrowType(c), Nullable: true})
	}
	fields = append(fields, arrow.Field{Name: Ordinal, Type: arrow.PrimitiveTypes.Int64})
	return arrow.NewSchema(fields, nil)
}

// Quarantine is the schema of quarantine blocks: one refused record each.
//
//	original   the bytes of the record as they stood in the source, without the record end; or Withheld
//	reason     one word: ragged, missing, type, range, ...
//	rule       the rule of the contract, or empty where process refused
//	column     the column, or empty
//	detail     what a person reads
//	event_day  2001-01-05, null if the event time could not be read
//	ordinal    number of the record in its slice, from 0
//	file       URI of the source file
//	offset     byte offset of the record's raw block in the decompressed file
//	contract   version of the contract
var Quarantine = arrow.NewSchema([]arrow.Field{
	{Name: "original", Type: arrow.BinaryTypes.Binary},
	{Name: "reason", Type: arrow.BinaryTypes.String},
	{Name: "rule", Type: arrow.BinaryTypes.String},
	{Name: "column", Type: arrow.BinaryTypes.String},
	{Name: "detail", Type: arrow.BinaryTypes.String},
	{Name: "event_day", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "ordinal", Type: arrow.PrimitiveTypes.Int64},
	{Name: "file", Type: arrow.BinaryTypes.String},
	{Name: "offset", Type: arrow.PrimitiveTypes.Int64},
	{Name: "contract", Type: arrow.BinaryTypes.String},
}, nil)

// KeptOfLong is how much of a record that is longer than a block goes to quarantine.
const KeptOfLong = 64 << 10

// Withheld stands in quarantine for the bytes of a record whose raw block is sealed: they are read from the archive, by file, slice and ordinal.
// So the archive alone holds them, and steps that only pass them on need no key.
const Withheld = "(sealed: almanac quarantine show)"

// Encode packs one batch and writes it as an Arrow IPC stream. The bytes depend on the batch alone.
func Encode(batch arrow.RecordBatch) ([]byte, error) {
	batch = pack.Pack(batch)
	defer batch.Release()
	var buf bytes.Buffer
	buf.Grow(size(batch))
	w := ipc.NewWriter(&buf, ipc.WithSchema(batch.Schema()))
	if err := w.Write(batch); err != nil {
		return nil, fmt.Errorf("encode block: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("encode block: %w", err)
	}
	return buf.Bytes(), nil
}

// size is about how many bytes the block of a batch of flat columns has, rather more than fewer.
func size(batch arrow.RecordBatch) int {
	sum := 1024
	for _, column := range batch.Columns() {
		sum += 512
		for _, b := range column.Data().Buffers() {
			if b != nil {
				sum += b.Len() + 64
			}
		}
	}
	return min(sum, 2*MaxRaw) // what a slice of a batch shares may be much more than its own
}

// mostRows bounds the rows of a block: a record has at least a byte. A packed column says how many it has without holding any.
const mostRows = 2 * MaxRaw

// Decode reads the batch of a block and holds it to the schema: just one batch, without nulls where the schema has none.
// The caller releases it.
func Decode(value []byte, want *arrow.Schema) (arrow.RecordBatch, error) {
	size := int64(len(value)) // no part is longer, whatever it says
	r, err := ipc.NewReader(bytes.NewReader(value), ipc.WithAllocator(memory.DefaultAllocator), ipc.WithMetadataSizeLimit(size), ipc.WithBodySizeLimit(size))
	if err != nil {
		return nil, fmt.Errorf("decode block: %w", err)
	}
	defer r.Release()
	if !r.Next() {
		if err := r.Err(); err != nil {
			return nil, fmt.Errorf("decode block: %w", err)
		}
		return nil, errors.New("decode block: no batch")
	}
	if n := r.RecordBatch().NumRows(); n > mostRows {
		return nil, fmt.Errorf("decode block: %d rows, more than %d", n, mostRows)
	}
	batch, err := pack.Unpack(r.RecordBatch(), want)
	if err != nil {
		return nil, fmt.Errorf("decode block: %w", err)
	}
	if err := sound(r, batch); err != nil {
		batch.Release()
		return nil, fmt.Errorf("decode block: %w", err)
	}
	return batch, nil
}

// sound refuses what Encode never makes: rows after the first batch, which would be lost, and nulls that no reader expects.
func sound(r *ipc.Reader, batch arrow.RecordBatch) error {
	if r.Next() {
		return errors.New("more than one batch")
	}
	if err := r.Err(); err != nil {
		return err
	}
	for i, f := range batch.Schema().Fields() {
		if n := batch.Column(i).NullN(); n > 0 && !f.Nullable {
			return fmt.Errorf("%d nulls in %s", n, f.Name)
		}
		offsets, ok := batch.Column(i).(interface{ ValueOffsets() []int32 })
		if ok && !pack.InOrder(offsets.ValueOffsets()) { // Arrow has compared the last one with the data
			return fmt.Errorf("values of %s overlap", f.Name)
		}
	}
	return nil
}

// Empty is a batch without rows.
func Empty(schema *arrow.Schema) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	return b.NewRecordBatch()
}
