package pack

import (
	"fmt"
	"math"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// units are the microseconds of which times are often multiples: a minute, a second, a millisecond.
var units = []int64{60_000_000, 1_000_000, 1_000}

// packInts packs a column of 64-bit integers, which are the values, as differences from the least of them, in the greatest of the units
// that divides all, if there are any, in as few bytes as hold the greatest.
func packInts[V ~int64](f arrow.Field, column arrow.Array, values []V, units []int64) (arrow.Field, arrow.Array) {
	n := len(values)
	if n > 0 && column.NullN() == 0 && sequence(values) {
		step := int64(0)
		if n > 1 {
			step = int64(values[1] - values[0])
		}
		return described(f, arrow.Null, int64(values[0]), step), array.NewNull(n)
	}
	least, greatest, some := bounds(column, values)
	if !some {
		least, greatest = 0, 0
	}
	unit := int64(1)
	spread := uint64(greatest) - uint64(least) // right modulo 2^64
	if spread > math.MaxUint16 {
		unit = dividing(column, values, least, units)
		spread /= uint64(unit)
	}
	var narrowed arrow.DataType
	var bytes []byte
	switch {
	case spread <= math.MaxUint8:
		narrowed, bytes = arrow.PrimitiveTypes.Uint8, arrow.GetBytes(narrow[uint8](column, values, least, unit))
	case spread <= math.MaxUint16:
		narrowed, bytes = arrow.PrimitiveTypes.Uint16, arrow.GetBytes(narrow[uint16](column, values, least, unit))
	case spread <= math.MaxUint32:
		narrowed, bytes = arrow.PrimitiveTypes.Uint32, arrow.GetBytes(narrow[uint32](column, values, least, unit))
	default:
		column.Retain()
		return f, column
	}
	return described(f, narrowed, least, unit), fixed(narrowed, n, validity(column), bytes)
}

// described is the field of a packed column.
func described(f arrow.Field, t arrow.DataType, base, unit int64) arrow.Field {
	f.Type, f.Nullable = t, f.Nullable || t.ID() == arrow.NULL
	f.Metadata = arrow.NewMetadata([]string{baseKey, unitKey}, []string{strconv.FormatInt(base, 10), strconv.FormatInt(unit, 10)})
	return f
}

// sequence says whether values differ by the same step.
func sequence[V ~int64](values []V) bool {
	for i := 2; i < len(values); i++ {
		if values[i]-values[i-1] != values[1]-values[0] {
			return false
		}
	}
	return true
}

func bounds[V ~int64](column arrow.Array, values []V) (least, greatest int64, some bool) {
	lo, hi := V(math.MaxInt64), V(math.MinInt64)
	if column.NullN() == 0 {
		for _, v := range values {
			lo, hi = min(lo, v), max(hi, v)
		}
		return int64(lo), int64(hi), len(values) > 0
	}
	for i, v := range values {
		if column.IsValid(i) {
			lo, hi, some = min(lo, v), max(hi, v), true
		}
	}
	return int64(lo), int64(hi), some
}

// dividing is the first of the units of which every difference from the least value is a multiple, or 1.
func dividing[V ~int64](column arrow.Array, values []V, least int64, units []int64) int64 {
next:
	for _, unit := range units {
		for i, v := range values {
			if d := uint64(v) - uint64(least); d%uint64(unit) != 0 && column.IsValid(i) {
				continue next
			}
		}
		return unit
	}
	return 1
}

func narrow[T uint8 | uint16 | uint32, V ~int64](column arrow.Array, values []V, least, unit int64) []T {
	out := make([]T, len(values))
	switch {
	case column.NullN() > 0:
		for i, v := range values {
			if column.IsValid(i) {
				out[i] = T((uint64(v) - uint64(least)) / uint64(unit))
			}
		}
	case unit == 1:
		for i, v := range values {
			out[i] = T(uint64(v) - uint64(least))
		}
	default:
		for i, v := range values {
			out[i] = T((uint64(v) - uint64(least)) / uint64(unit))
		}
	}
	return out
}

// unpackInts makes 64-bit integers of what packInts has made.
func unpackInts(f arrow.Field, column arrow.Array, want arrow.Field) (arrow.Array, error) {
	base, err := number(f, baseKey)
	if err != nil {
		return nil, err
	}
	unit, err := number(f, unitKey)
	if err != nil {
		return nil, err
	}
	values := make([]int64, column.Len())
	switch c := column.(type) {
	case *array.Uint8:
		widen(values, c.Uint8Values(), base, unit)
	case *array.Uint16:
		widen(values, c.Uint16Values(), base, unit)
	case *array.Uint32:
		widen(values, c.Uint32Values(), base, unit)
	case *array.Null:
		for i := range values {
			values[i] = base
			base += unit
		}
		return fixed(want.Type, len(values), nil, arrow.GetBytes(values)), nil
	default:
		return nil, fmt.Errorf("column %s is %s, want %s", f.Name, column.DataType(), want.Type)
	}
	return fixed(want.Type, len(values), validity(column), arrow.GetBytes(values)), nil
}

func widen[T uint8 | uint16 | uint32](to []int64, values []T, base, unit int64) {
	for i, v := range values {
		to[i] = base + int64(v)*unit
	}
}

// validity is the bitmap of a column from its first row on, or nil if nothing is null.
func validity(column arrow.Array) *memory.Buffer {
	if column.NullN() == 0 {
		return nil
	}
	n := column.Len()
	bits := make([]byte, bitutil.BytesForBits(int64(n)))
	bitutil.CopyBitmap(column.NullBitmapBytes(), column.Data().Offset(), n, bits, 0)
	return memory.NewBufferBytes(bits)
}

func fixed(t arrow.DataType, n int, valid *memory.Buffer, bytes []byte) arrow.Array {
	nulls := 0
	if valid != nil {
		nulls = n - bitutil.CountSetBits(valid.Bytes(), 0, n)
	}
	data := array.NewData(t, n, []*memory.Buffer{valid, memory.NewBufferBytes(bytes)}, nil, nulls, 0)
	defer data.Release()
	return array.MakeFromData(data)
}
