// Package schema says how Arrow columns lie in a Parquet file.
package schema

import (
	"fmt"
	"math/big"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/almanac-data/almanac/functions/internal/lake/parquet/encoding"
)

// Physical types, as parquet.thrift numbers them.
const (
	Boolean = 0
	Int32   = 1
	Int64   = 2
	Double  = 5
	Bytes   = 6
	Fixed   = 7
)

// Converted types, as parquet.thrift numbers them.
const (
	convertedText    = 0
	convertedDecimal = 5
	convertedDate    = 6
	convertedMicros  = 10
)

// Field is how a column lies in the file.
type Field struct {
	Name     string
	Physical int32
	Nullable bool
	Float    bool
	Width    int // bytes of a value in PLAIN form; 0 if they differ

	id    int32
	arrow arrow.DataType
}

// New is for a column of Arrow with an Iceberg field id. The error says that its type cannot be stored.
func New(f arrow.Field, id int) (Field, error) {
	out := Field{Name: f.Name, id: int32(id), Nullable: f.Nullable, arrow: f.Type}
	switch t := f.Type.(type) {
	case *arrow.Int64Type:
		out.Physical, out.Width = Int64, 8
	case *arrow.TimestampType:
		if t.Unit != arrow.Microsecond || t.TimeZone != "UTC" && t.TimeZone != "" {
			return out, fmt.Errorf("column %s: type %s cannot be stored, only microseconds in UTC or without a zone", f.Name, t)
		}
		out.Physical, out.Width = Int64, 8
	case *arrow.Int32Type, *arrow.Date32Type:
		out.Physical, out.Width = Int32, 4
	case *arrow.Float64Type:
		out.Physical, out.Width, out.Float = Double, 8, true
	case *arrow.BooleanType:
		out.Physical = Boolean
	case *arrow.StringType, *arrow.BinaryType:
		out.Physical = Bytes
	case *arrow.Decimal128Type:
		out.Physical, out.Width = decimalForm(t.Precision)
	default:
		return out, fmt.Errorf("column %s: type %s cannot be stored", f.Name, f.Type)
	}
	return out, nil
}

// decimalForm is how Iceberg wants decimals: as numbers up to 18 digits, else in as many bytes as the digits need.
func decimalForm(precision int32) (physical int32, width int) {
	switch {
	case precision <= 9:
		return Int32, 4
	case precision <= 18:
		return Int64, 8
	}
	most := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(precision)), nil)
	return Fixed, most.BitLen()/8 + 1
}

// Element writes the column's SchemaElement.
func (f *Field) Element(t *encoding.Thrift) {
	t.I32(1, f.Physical)
	if f.Physical == Fixed {
		t.I32(2, int32(f.Width))
	}
	repetition := int32(0)
	if f.Nullable {
		repetition = 1
	}
	t.I32(3, repetition)
	t.Binary(4, []byte(f.Name))
	none := func() {}
	switch dt := f.arrow.(type) {
	case *arrow.StringType:
		t.I32(6, convertedText)
		t.I32(9, f.id)
		t.Struct(10, func() { t.Struct(1, none) })
	case *arrow.Date32Type:
		t.I32(6, convertedDate)
		t.I32(9, f.id)
		t.Struct(10, func() { t.Struct(6, none) })
	case *arrow.Decimal128Type:
		t.I32(6, convertedDecimal)
		t.I32(7, dt.Scale)
		t.I32(8, dt.Precision)
		t.I32(9, f.id)
		t.Struct(10, func() {
			t.Struct(5, func() { t.I32(1, dt.Scale); t.I32(2, dt.Precision) })
		})
	case *arrow.TimestampType:
		utc := dt.TimeZone != ""
		if utc {
			t.I32(6, convertedMicros)
		}
		t.I32(9, f.id)
		t.Struct(10, func() {
			t.Struct(8, func() {
				t.Bool(1, utc)
				t.Struct(2, func() { t.Struct(2, none) })
			})
		})
	default:
		t.I32(9, f.id)
	}
}
