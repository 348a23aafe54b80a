package vector

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/process/field"
	"github.com/almanac-data/almanac/functions/internal/process/split"
)

// scalar is the Go form of a value of fixed size.
type scalar interface {
	int64 | float64 | int32 | bool | decimal128.Num
}

// fixed holds values of fixed size.
type fixed[T scalar] struct {
	flags

	column  *Column
	kind    arrow.DataType
	read    func(v []byte) (T, field.Fault)
	careful bool // a text that stands for null can be read as a value
	values  []T
}

func newFixed[T scalar](c *Column, read func([]byte) (T, field.Fault)) *fixed[T] {
	f := &fixed[T]{column: c, kind: block.ArrowType(c.Column), read: read}
	for _, n := range c.nulls {
		if _, fault := read(n); fault == field.Fine {
			f.careful = true
		}
	}
	return f
}

// room returns n values from row base on, to be written.
func (f *fixed[T]) room(base, n int) []T {
	f.values = slices.Grow(f.values[:base], n)[:base+n]
	f.extend(base, n)
	return f.values[base:]
}

func (f *fixed[T]) Load(k *split.Chunk, base int) {
	out := f.room(base, k.N)
	if f.column.At < 0 || f.careful {
		for i := range out {
			out[i] = f.slow(k, base, i)
		}
		return
	}
	fields := k.Fields[f.column.At:]
	for i := range out {
		at := fields[i*k.Stride]
		v, fault := f.read(k.Text[at.Start():at.End()])
		if fault != field.Fine {
			v = f.slow(k, base, i)
		}
		out[i] = v
	}
}

// slow reads a field that is not plainly a value.
func (f *fixed[T]) slow(k *split.Chunk, base, i int) (zero T) {
	text, kind := f.column.text(k, i)
	if kind == split.Null {
		f.set(base + i)
		return zero
	}
	v, fault := f.read(text)
	if fault != field.Fine {
		f.set(base + i)
		f.column.fault(i, fault, text)
		return zero
	}
	return v
}

func (f *fixed[T]) Keep(base int, rows []int32) {
	values := f.values[base:]
	for to, from := range rows {
		values[to] = values[from]
	}
	f.pick(base, rows)
}

func (f *fixed[T]) Size(n int) int { return n * arrow.Decimal128SizeBytes } // at most

func (f *fixed[T]) Finish(n int) arrow.Array {
	validity, nulls := f.buffer(n)
	var data []byte
	switch v := any(f.values[:n]).(type) {
	case []int64:
		data = arrow.Int64Traits.CastToBytes(v)
	case []int32:
		data = arrow.Int32Traits.CastToBytes(v)
	case []float64:
		data = arrow.Float64Traits.CastToBytes(v)
	case []decimal128.Num:
		data = arrow.Decimal128Traits.CastToBytes(v)
	case []bool:
		data = pack(nil, v, true)
	}
	return made(f.kind, n, nulls, validity, memory.NewBufferBytes(data))
}

func (f *fixed[T]) order(value string) (func(row int) int, bool) {
	want, fault := f.read([]byte(value))
	return func(row int) int { return compare(f.values[row], want) }, fault == field.Fine
}

func compare[T scalar](a, b T) int {
	switch a := any(a).(type) {
	case int64:
		return cmp.Compare(a, any(b).(int64))
	case int32:
		return cmp.Compare(a, any(b).(int32))
	case float64:
		return cmp.Compare(a, any(b).(float64))
	case decimal128.Num:
		return a.Cmp(any(b).(decimal128.Num))
	}
	if a == b {
		return 0
	}
	return 1
}

// integers reads integers of up to eight digits without branches.
type integers struct{ *fixed[int64] }

func (f *integers) Load(k *split.Chunk, base int) {
	if f.column.At < 0 || f.careful {
		f.fixed.Load(k, base)
		return
	}
	out, fields, text := f.room(base, k.N), k.Fields[f.column.At:], k.Text
	for i := range out {
		at := fields[i*k.Stride]
		start, end := at.Start(), at.End()
		if start+9 <= len(text) {
			minus := (int64(text[start]^'-') - 1) >> 63 // -1 if it is one
			start -= int(minus)
			if v, ok := field.Digits(binary.LittleEndian.Uint64(text[start:]), uint(end-start)); ok {
				out[i] = (v ^ minus) - minus
				continue
			}
		}
		v, fault := field.Int(text[at.Start():end])
		if fault != field.Fine {
			v = f.slow(k, base, i)
		}
		out[i] = v
	}
}

// stamps reads timestamps.
type stamps struct {
	*fixed[int64]

	clock *field.Clock
}

func (f *stamps) Load(k *split.Chunk, base int) {
	if f.column.At < 0 || f.careful {
		f.fixed.Load(k, base)
		return
	}
	out, fields, text, clock := f.room(base, k.N), k.Fields[f.column.At:], k.Text, f.clock
	for i := range out {
		at := fields[i*k.Stride]
		v, fault := clock.Timestamp(text[at.Start():at.End()])
		if fault != field.Fine {
			v = f.slow(k, base, i)
		}
		out[i] = v
	}
}

// Times returns n values of a date or timestamp from row base on, in microseconds since 1970. dst may be used for them.
func (c *Column) Times(dst []int64, base, n int) []int64 {
	const day = 24 * 60 * 60 * 1_000_000
	switch v := c.vector.(type) {
	case *stamps:
		return v.values[base : base+n]
	case *fixed[int32]:
		dst = grow(dst, 0, n)
		for i, days := range v.values[base : base+n] {
			dst[i] = int64(days) * day
		}
	}
	return dst
}

// Ordinals is the column of the rows' numbers.
type Ordinals struct{ fixed[int64] }

// Room returns n values from row base on, to be written.
func (o *Ordinals) Room(base, n int) []int64 {
	o.kind = arrow.PrimitiveTypes.Int64
	return o.room(base, n)
}
