package parquet

import (
	"fmt"
	"math/big"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/almanac-data/almanac/functions/internal/lake/parquet/encoding"
)

// Numbers of parquet.thrift.
const (
	typeBoolean = 0
	typeInt32   = 1
	typeInt64   = 2
	typeDouble  = 5
	typeBytes   = 6
	typeFixed   = 7

	convertedText    = 0
	convertedDecimal = 5
	convertedDate    = 6
	convertedMicros  = 10

	encodingPlain      = 0
	encodingRLE        = 3
	encodingDelta      = 5
	encodingDictionary = 8

	codecZstd = 6

	pageData       = 0
	pageDictionary = 2
)

// field is how a column lies in the file.
type field struct {
	name     string
	id       int32
	physical int32
	nullable bool
	float    bool
	width    int // bytes of a value in PLAIN form; 0 if they differ
	arrow    arrow.DataType
}

func newField(f arrow.Field, id int) (field, error) {
	out := field{name: f.Name, id: int32(id), nullable: f.Nullable, arrow: f.Type}
	switch t := f.Type.(type) {
	case *arrow.Int64Type:
		out.physical, out.width = typeInt64, 8
	case *arrow.TimestampType:
		if t.Unit != arrow.Microsecond || t.TimeZone != "UTC" && t.TimeZone != "" {
			return out, fmt.Errorf("column %s: type %s cannot be stored, only microseconds in UTC or without a zone", f.Name, t)
		}
		out.physical, out.width = typeInt64, 8
	case *arrow.Int32Type, *arrow.Date32Type:
		out.physical, out.width = typeInt32, 4
	case *arrow.Float64Type:
		out.physical, out.width, out.float = typeDouble, 8, true
	case *arrow.BooleanType:
		out.physical = typeBoolean
	case *arrow.StringType, *arrow.BinaryType:
		out.physical = typeBytes
	case *arrow.Decimal128Type:
		out.physical, out.width = decimalForm(t.Precision)
	default:
		return out, fmt.Errorf("column %s: type %s cannot be stored", f.Name, f.Type)
	}
	return out, nil
}

// decimalForm is how Iceberg wants decimals: as numbers up to 18 digits, else in as many bytes as the digits need.
func decimalForm(precision int32) (physical int32, width int) {
	switch {
	case precision <= 9:
		return typeInt32, 4
	case precision <= 18:
		return typeInt64, 8
	}
	most := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(precision)), nil)
	return typeFixed, most.BitLen()/8 + 1
}

// element writes the column's SchemaElement.
func (f *field) element(t *encoding.Thrift) {
	t.I32(1, f.physical)
	if f.physical == typeFixed {
		t.I32(2, int32(f.width))
	}
	repetition := int32(0)
	if f.nullable {
		repetition = 1
	}
	t.I32(3, repetition)
	t.Binary(4, []byte(f.name))
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
