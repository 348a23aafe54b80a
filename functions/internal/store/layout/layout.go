// Package layout says where the rows and the quarantine of a window lie in the warehouse, and with which columns.
package layout

import (
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/table"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// Data is the folder of the data files of a window in a table.
func Data(dataset, tab string, w window.Window) string {
	return dataset + "/" + tab + "/data/" + w.Key()
}

// Keys is the folder of the key files of a window.
func Keys(dataset string, w window.Window) string {
	return dataset + "/staging/" + w.Key()
}

// CollectedAt is the logical time at which a window is collected: its end and the dataset's delay, not the wall clock.
func CollectedAt(d *dataset.Dataset, w window.Window) time.Time { return w.End.Add(d.Collect.Delay) }

// Rows is the schema of the rows table.
func Rows(d *dataset.Dataset) *arrow.Schema {
	fields := block.Schema(d).Fields()
	ordinal := fields[len(fields)-1]
	fields = append(fields[:len(fields)-1:len(fields)-1], arrow.Field{Name: table.EventTime, Type: arrow.FixedWidthTypes.Timestamp_us})
	return arrow.NewSchema(append(append(fields, systemFields...), ordinal), nil)
}

// Quarantine is the schema of the quarantine table.
func Quarantine() *arrow.Schema {
	return arrow.NewSchema(append(block.Quarantine.Fields(), systemFields...), nil)
}

var systemFields = []arrow.Field{
	{Name: table.CollectedAt, Type: arrow.FixedWidthTypes.Timestamp_us},
	{Name: table.Window, Type: arrow.FixedWidthTypes.Timestamp_us},
	{Name: table.Generation, Type: arrow.PrimitiveTypes.Int32},
	{Name: table.Slice, Type: arrow.PrimitiveTypes.Int32},
}

// System adds the system columns of one slice.
type System struct {
	Dataset    *dataset.Dataset
	Window     window.Window
	Generation int
	Slice      int
}

// Rows makes a batch of the rows table of one of the block schema.
func (s System) Rows(batch arrow.RecordBatch) arrow.RecordBatch {
	n := int(batch.NumRows())
	cols := batch.Columns()
	ordinal := cols[len(cols)-1]
	event := EventTimes(s.Dataset, batch)
	all := append(append(append([]arrow.Array{}, cols[:len(cols)-1]...), event), s.constants(n)...)
	out := array.NewRecordBatch(Rows(s.Dataset), append(all, ordinal), int64(n))
	release(all[len(cols)-1:])
	return out
}

// Quarantine makes a batch of the quarantine table of one of quarantine blocks.
func (s System) Quarantine(batch arrow.RecordBatch) arrow.RecordBatch {
	n := int(batch.NumRows())
	constants := s.constants(n)
	out := array.NewRecordBatch(Quarantine(), append(append([]arrow.Array{}, batch.Columns()...), constants...), int64(n))
	release(constants)
	return out
}

func (s System) constants(n int) []arrow.Array {
	return []arrow.Array{
		constant(arrow.FixedWidthTypes.Timestamp_us, n, arrow.Timestamp(CollectedAt(s.Dataset, s.Window).UnixMicro())),
		constant(arrow.FixedWidthTypes.Timestamp_us, n, arrow.Timestamp(s.Window.Start.UnixMicro())),
		constant(arrow.PrimitiveTypes.Int32, n, int32(s.Generation)),
		constant(arrow.PrimitiveTypes.Int32, n, int32(s.Slice)),
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

// EventTimes is the event time column of a batch as microseconds: itself, or the midnights of a date column.
func EventTimes(d *dataset.Dataset, batch arrow.RecordBatch) arrow.Array {
	col := batch.Column(eventColumn(d))
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
