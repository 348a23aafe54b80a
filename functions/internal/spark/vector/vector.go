// Package vector makes the columns of Spark's results what they are in Almanac, whichever engine computed them.
package vector

import (
	"errors"
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/almanac-data/almanac/functions/internal/spark/connect"
)

// Type is the Arrow type that a column of a result has in Almanac: int64 for integers, float64 for reals, timestamp[us, UTC] for both kinds
// of timestamps, and int64 for a column of NULL alone, as DuckDB has it.
func Type(c connect.Column) (arrow.DataType, error) {
	switch c.Kind {
	case "byte", "short", "integer", "long", "null":
		return arrow.PrimitiveTypes.Int64, nil
	case "float", "double":
		return arrow.PrimitiveTypes.Float64, nil
	case "decimal":
		return &arrow.Decimal128Type{Precision: c.Precision, Scale: c.Scale}, nil
	case "string", "char", "var_char":
		return arrow.BinaryTypes.String, nil
	case "boolean":
		return arrow.FixedWidthTypes.Boolean, nil
	case "date":
		return arrow.FixedWidthTypes.Date32, nil
	case "timestamp", "timestamp_ntz":
		return arrow.FixedWidthTypes.Timestamp_us, nil
	}
	return nil, errors.New("its type has no place in a table: cast it to BIGINT, DOUBLE, DECIMAL, VARCHAR, DATE, TIMESTAMP or BOOLEAN")
}

// Cast makes a column the given type, which is that of its kind. What lies in memory alike is not copied. The caller releases the result.
func Cast(in arrow.Array, to arrow.DataType) (arrow.Array, error) {
	switch in := in.(type) {
	case *array.Int8:
		return integers(in.Int8Values(), in), nil
	case *array.Int16:
		return integers(in.Int16Values(), in), nil
	case *array.Int32:
		return integers(in.Int32Values(), in), nil
	case *array.Null:
		return array.MakeArrayOfNull(memory.DefaultAllocator, to, in.Len()), nil
	case *array.Float32:
		return reals(in.Float32Values(), in), nil
	case *array.Float64:
		if regular(in.Float64Values()) {
			in.Retain()
			return in, nil
		}
		return reals(in.Float64Values(), in), nil
	case *array.Timestamp:
		if in.DataType().(*arrow.TimestampType).Unit != arrow.Microsecond {
			break
		}
		return relabelled(in, to), nil
	}
	if !arrow.TypeEqual(in.DataType(), to) {
		return nil, fmt.Errorf("spark sends %s, where %s was announced", in.DataType(), to)
	}
	in.Retain()
	return in, nil
}

// relabelled is the same memory with another type.
func relabelled(in arrow.Array, to arrow.DataType) arrow.Array {
	d := in.Data()
	data := array.NewData(to, d.Len(), d.Buffers(), nil, d.NullN(), d.Offset())
	defer data.Release()
	return array.MakeFromData(data)
}

func valid(in arrow.Array) []bool {
	if in.NullN() == 0 {
		return nil
	}
	all := make([]bool, in.Len())
	for i := range all {
		all[i] = in.IsValid(i)
	}
	return all
}

func integers[T int8 | int16 | int32](values []T, in arrow.Array) arrow.Array {
	b := array.NewInt64Builder(memory.DefaultAllocator)
	defer b.Release()
	out := make([]int64, len(values))
	for i, v := range values {
		out[i] = int64(v)
	}
	b.AppendValues(out, valid(in))
	return b.NewArray()
}

// regular says whether there is neither a negative zero nor a NaN.
func regular(values []float64) bool {
	for _, v := range values {
		if v != v || v == 0 && math.Signbit(v) {
			return false
		}
	}
	return true
}

// reals makes equal numbers equal bits: there is one zero and one NaN.
func reals[T float32 | float64](values []T, in arrow.Array) arrow.Array {
	b := array.NewFloat64Builder(memory.DefaultAllocator)
	defer b.Release()
	out := make([]float64, len(values))
	for i, v := range values {
		switch f := float64(v); {
		case f == 0:
		case math.IsNaN(f):
			out[i] = math.NaN()
		default:
			out[i] = f
		}
	}
	b.AppendValues(out, valid(in))
	return b.NewArray()
}
