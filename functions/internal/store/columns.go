package store

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// system adds the system columns of one slice.
type system struct {
	d          *dataset.Dataset
	w          window.Window
	generation int
	slice      int
}

func (s system) rows(batch arrow.RecordBatch) arrow.RecordBatch {
	n := int(batch.NumRows())
	cols := batch.Columns()
	ordinal := cols[len(cols)-1]
	event := eventTimes(batch.Column(eventColumn(s.d)))
	all := append(append(append([]arrow.Array{}, cols[:len(cols)-1]...), event), s.constants(n)...)
	out := array.NewRecordBatch(RowsSchema(s.d), append(all, ordinal), int64(n))
	release(all[len(cols)-1:])
	return out
}

func (s system) quarantine(batch arrow.RecordBatch) arrow.RecordBatch {
	n := int(batch.NumRows())
	constants := s.constants(n)
	out := array.NewRecordBatch(QuarantineSchema(), append(append([]arrow.Array{}, batch.Columns()...), constants...), int64(n))
	release(constants)
	return out
}

func (s system) constants(n int) []arrow.Array {
	return []arrow.Array{
		constant(arrow.FixedWidthTypes.Timestamp_us, n, arrow.Timestamp(CollectedAt(s.d, s.w).UnixMicro())),
		constant(arrow.FixedWidthTypes.Timestamp_us, n, arrow.Timestamp(s.w.Start.UnixMicro())),
		constant(arrow.PrimitiveTypes.Int32, n, int32(s.generation)),
		constant(arrow.PrimitiveTypes.Int32, n, int32(s.slice)),
	}
}

func release(arrays []arrow.Array) {
	for _, a := range arrays {
		a.Release()
	}
}

func constant[T arrow.FixedWidthType](t arrow.DataType, n int, value T) arrow.Array {
	values := make([]T, n)
	for i := range values {
		values[i] = value
	}
	return fixed(t, values)
}

func fixed[T arrow.FixedWidthType](t arrow.DataType, values []T) arrow.Array {
	buf := memory.NewBufferBytes(arrow.GetBytes(values))
	data := array.NewData(t, len(values), []*memory.Buffer{nil, buf}, nil, 0, 0)
	defer data.Release()
	return array.MakeFromData(data)
}

func eventColumn(d *dataset.Dataset) int {
	for i, c := range d.Columns {
		if c.Name == d.Collect.EventTime {
			return i
		}
	}
	return -1
}

const microsPerDay = 24 * 60 * 60 * 1_000_000

// eventTimes is the event time column as microseconds: itself, or the midnights of a date column.
func eventTimes(col arrow.Array) arrow.Array {
	dates, ok := col.(*array.Date32)
	if !ok {
		col.Retain()
		return col
	}
	micros := make([]arrow.Timestamp, dates.Len())
	for i, day := range dates.Date32Values() {
		micros[i] = arrow.Timestamp(int64(day) * microsPerDay)
	}
	return fixed(arrow.FixedWidthTypes.Timestamp_us, micros)
}
