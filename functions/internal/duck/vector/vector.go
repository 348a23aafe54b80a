// Package vector copies the vectors of DuckDB's results into Arrow arrays.
package vector

import (
	"errors"
	"fmt"
	"math"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/duckdb/duckdb-go/v2/mapping"
)

// Column copies the vectors of one column of a result into an Arrow builder.
type Column struct {
	Type   arrow.DataType // of the array
	append func(b array.Builder, data unsafe.Pointer, valid []bool, n int) error
}

// Append copies the first n rows of a vector; the scratch has room for as many.
func (c Column) Append(b array.Builder, v mapping.Vector, n int, scratch []bool) error {
	return c.append(b, mapping.VectorGetData(v), validity(v, n, scratch), n)
}

// Of finds the Arrow type that a column of a result has in Almanac, whichever width the engine computed it in: int64 for integers,
// float64 for reals, decimal128(38, 0) for HUGEINT, which sums of BIGINT are, timestamp[us, UTC] for both kinds of timestamps.
func Of(t mapping.Type, logical mapping.LogicalType) (Column, error) {
	switch t {
	case mapping.TypeTinyInt:
		return integers[int8](), nil
	case mapping.TypeSmallInt:
		return integers[int16](), nil
	case mapping.TypeInteger:
		return integers[int32](), nil
	case mapping.TypeUTinyInt:
		return integers[uint8](), nil
	case mapping.TypeUSmallInt:
		return integers[uint16](), nil
	case mapping.TypeUInteger:
		return integers[uint32](), nil
	case mapping.TypeBigInt:
		return integers[int64](), nil
	case mapping.TypeFloat:
		return reals[float32](), nil
	case mapping.TypeDouble:
		return reals[float64](), nil
	case mapping.TypeTimestamp, mapping.TypeTimestampTZ:
		return timestamps(1), nil
	case mapping.TypeTimestampMS:
		return timestamps(1_000), nil
	case mapping.TypeTimestampS:
		return timestamps(1_000_000), nil
	case mapping.TypeBoolean:
		return Column{arrow.FixedWidthTypes.Boolean, func(b array.Builder, data unsafe.Pointer, valid []bool, n int) error {
			b.(*array.BooleanBuilder).AppendValues(values[bool](data, n), valid)
			return nil
		}}, nil
	case mapping.TypeDate:
		return dates(), nil
	case mapping.TypeVarchar:
		return Column{arrow.BinaryTypes.String, appendStrings}, nil
	case mapping.TypeHugeInt:
		return decimals[decimal128.Num](38, 0), nil
	case mapping.TypeDecimal:
		return decimalOf(logical)
	default:
	}
	return Column{}, errors.New("its type has no place in a table: cast it to BIGINT, DOUBLE, DECIMAL, VARCHAR, DATE, TIMESTAMP or BOOLEAN")
}

func integers[T int8 | int16 | int32 | int64 | uint8 | uint16 | uint32]() Column {
	return Column{arrow.PrimitiveTypes.Int64, func(b array.Builder, data unsafe.Pointer, valid []bool, n int) error {
		out := make([]int64, n)
		for i, v := range values[T](data, n) {
			out[i] = int64(v)
		}
		b.(*array.Int64Builder).AppendValues(out, valid)
		return nil
	}}
}

// reals makes equal numbers equal bits: there is one zero and one NaN.
func reals[T float32 | float64]() Column {
	return Column{arrow.PrimitiveTypes.Float64, func(b array.Builder, data unsafe.Pointer, valid []bool, n int) error {
		out := make([]float64, n)
		for i, v := range values[T](data, n) {
			switch f := float64(v); {
			case f == 0:
			case math.IsNaN(f):
				out[i] = math.NaN()
			default:
				out[i] = f
			}
		}
		b.(*array.Float64Builder).AppendValues(out, valid)
		return nil
	}}
}

func timestamps(micros int64) Column {
	return Column{arrow.FixedWidthTypes.Timestamp_us, func(b array.Builder, data unsafe.Pointer, valid []bool, n int) error {
		out := make([]arrow.Timestamp, n)
		for i, v := range values[int64](data, n) {
			if (v == math.MaxInt64 || v == -math.MaxInt64) && (valid == nil || valid[i]) {
				return errors.New("a timestamp is infinite")
			}
			out[i] = arrow.Timestamp(v * micros)
		}
		b.(*array.TimestampBuilder).AppendValues(out, valid)
		return nil
	}}
}

func dates() Column {
	return Column{arrow.FixedWidthTypes.Date32, func(b array.Builder, data unsafe.Pointer, valid []bool, n int) error {
		days := values[arrow.Date32](data, n)
		for i, v := range days {
			if (v == math.MaxInt32 || v == -math.MaxInt32) && (valid == nil || valid[i]) {
				return errors.New("a date is infinite")
			}
		}
		b.(*array.Date32Builder).AppendValues(days, valid)
		return nil
	}}
}

func decimalOf(logical mapping.LogicalType) (Column, error) {
	width, scale := int32(mapping.DecimalWidth(logical)), int32(mapping.DecimalScale(logical))
	switch mapping.DecimalInternalType(logical) {
	case mapping.TypeSmallInt:
		return decimals[int16](width, scale), nil
	case mapping.TypeInteger:
		return decimals[int32](width, scale), nil
	case mapping.TypeBigInt:
		return decimals[int64](width, scale), nil
	case mapping.TypeHugeInt:
		return decimals[decimal128.Num](width, scale), nil
	default:
		return Column{}, fmt.Errorf("DECIMAL(%d,%d) is kept in an unknown way", width, scale)
	}
}

// decimals reads the integers that DuckDB keeps decimals in; decimal128.Num lies in memory as DuckDB's HUGEINT does.
func decimals[T int16 | int32 | int64 | decimal128.Num](width, scale int32) Column {
	return Column{&arrow.Decimal128Type{Precision: width, Scale: scale}, func(b array.Builder, data unsafe.Pointer, valid []bool, n int) error {
		out := make([]decimal128.Num, n)
		for i, v := range values[T](data, n) {
			switch v := any(v).(type) {
			case int16:
				out[i] = decimal128.FromI64(int64(v))
			case int32:
				out[i] = decimal128.FromI64(int64(v))
			case int64:
				out[i] = decimal128.FromI64(v)
			case decimal128.Num:
				if (valid == nil || valid[i]) && !v.FitsInPrecision(width) {
					return fmt.Errorf("%s has more than %d digits", v.BigInt(), width)
				}
				out[i] = v
			}
		}
		b.(*array.Decimal128Builder).AppendValues(out, valid)
		return nil
	}}
}

// duckString is duckdb_string_t: a length, then either up to twelve bytes or four of them and a pointer to all.
type duckString struct {
	length  uint32
	prefix  [4]byte
	pointer unsafe.Pointer
}

func appendStrings(b array.Builder, data unsafe.Pointer, valid []bool, n int) error {
	to := b.(*array.StringBuilder)
	to.Reserve(n)
	all := values[duckString](data, n)
	for i := range all {
		s := &all[i]
		switch {
		case valid != nil && !valid[i]:
			to.AppendNull()
		case s.length <= 12:
			to.BinaryBuilder.Append(values[byte](unsafe.Pointer(&s.prefix), int(s.length))) //nolint:gosec // the bytes go on behind the prefix
		default:
			to.BinaryBuilder.Append(values[byte](s.pointer, int(s.length)))
		}
	}
	return nil
}

// validity reads the mask of a vector's first n rows: nil if all are valid.
func validity(v mapping.Vector, n int, buf []bool) []bool {
	mask := mapping.VectorGetValidity(v)
	if mask == nil {
		return nil
	}
	words := values[uint64](mask, (n+63)/64)
	valid := buf[:n]
	for i := range valid {
		valid[i] = words[i/64]>>(i%64)&1 == 1
	}
	return valid
}

// values are n values as they lie in memory that DuckDB owns.
func values[T any](data unsafe.Pointer, n int) []T {
	return unsafe.Slice((*T)(data), n) //nolint:gosec // DuckDB says what lies there
}
