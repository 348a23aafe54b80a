// Package pack makes batches small before they travel and large again when they have: rows go through a broker several times, and what
// that costs depends on their bytes.
//
// A packed batch is an Arrow batch like any other, of the same columns, some of which have another type. Metadata of the field say how to
// read it:
//
//	almanac.base, almanac.unit   an unsigned integer of 8, 16 or 32 bits stands for base + unit × value
//	almanac.base, almanac.unit   a null type stands for base + unit × number of the row: a sequence
//
// and a dictionary of strings stands for its strings.
package pack

import (
	"fmt"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// Metadata keys of a field.
const (
	baseKey = "almanac.base"
	unitKey = "almanac.unit"
)

// Pack returns the packed form of a batch. It depends on the batch alone. The caller releases it.
func Pack(batch arrow.RecordBatch) arrow.RecordBatch {
	fields := make([]arrow.Field, batch.NumCols())
	columns := make([]arrow.Array, batch.NumCols())
	for i := range columns {
		fields[i], columns[i] = packed(batch.Schema().Field(i), batch.Column(i))
		defer columns[i].Release()
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, batch.NumRows())
}

func packed(f arrow.Field, column arrow.Array) (arrow.Field, arrow.Array) {
	switch c := column.(type) {
	case *array.Int64:
		return packInts(f, c, c.Int64Values(), nil)
	case *array.Timestamp:
		return packInts(f, c, c.TimestampValues(), units)
	case *array.String:
		return packStrings(f, c)
	}
	column.Retain()
	return f, column
}

// Unpack returns the batch of a packed one, with the schema that it must have. What Pack never makes is an error.
// The caller releases it.
func Unpack(batch arrow.RecordBatch, want *arrow.Schema) (arrow.RecordBatch, error) {
	if int(batch.NumCols()) != want.NumFields() {
		return nil, fmt.Errorf("schema is %s, want %s", batch.Schema(), want)
	}
	columns := make([]arrow.Array, want.NumFields())
	for i, f := range want.Fields() {
		var err error
		if columns[i], err = unpacked(batch.Schema().Field(i), batch.Column(i), f, int(batch.NumRows())); err != nil {
			return nil, err
		}
		defer columns[i].Release()
	}
	return array.NewRecordBatch(want, columns, batch.NumRows()), nil
}

func unpacked(f arrow.Field, column arrow.Array, want arrow.Field, rows int) (arrow.Array, error) {
	if f.Name != want.Name || column.Len() != rows {
		return nil, fmt.Errorf("column is %s of %d rows, want %s of %d", f.Name, column.Len(), want.Name, rows)
	}
	if arrow.TypeEqual(column.DataType(), want.Type) {
		column.Retain()
		return column, nil
	}
	switch want.Type.(type) {
	case *arrow.Int64Type, *arrow.TimestampType:
		return unpackInts(f, column, want)
	case *arrow.StringType:
		if d, ok := column.(*array.Dictionary); ok {
			return unpackStrings(f, d)
		}
	}
	return nil, fmt.Errorf("column %s is %s, want %s", f.Name, column.DataType(), want.Type)
}

// number reads an integer of the field's metadata.
func number(f arrow.Field, key string) (int64, error) {
	text, _ := f.Metadata.GetValue(key)
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("column %s: %s is %q, not an integer", f.Name, key, text)
	}
	return n, nil
}
