package vector

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// flags says which values of a vector are null.
type flags struct {
	rows []bool
	any  bool
	bits []byte // as Arrow has it: a 1 for each value that is not null
}

// extend clears the flags of n rows from base on.
func (f *flags) extend(base, n int) {
	f.rows = grow(f.rows, base, n)
	clear(f.rows[base:])
	f.any = f.any && base > 0
}

func (f *flags) set(row int)         { f.rows[row], f.any = true, true }
func (f *flags) nullable() bool      { return f.any }
func (f *flags) IsNull(row int) bool { return f.rows[row] }

func (f *flags) pick(base int, rows []int32) {
	for to, from := range rows {
		f.rows[base+to] = f.rows[base+int(from)]
	}
}

// buffer returns the validity bitmap of the first n values, or nil if none is null, and how many are.
func (f *flags) buffer(n int) (*memory.Buffer, int) {
	if !f.any {
		return nil, 0
	}
	count := 0
	for _, null := range f.rows[:n] {
		if null {
			count++
		}
	}
	if count == 0 {
		return nil, 0
	}
	f.bits = pack(f.bits, f.rows[:n], false)
	return memory.NewBufferBytes(f.bits), count
}

// pack writes a bit for each value that equals one, least significant first.
func pack(bits []byte, values []bool, one bool) []byte {
	bits = grow(bits, 0, (len(values)+7)/8)
	clear(bits)
	for i, v := range values {
		if v == one {
			bits[i/8] |= 1 << (i % 8)
		}
	}
	return bits
}

// grow returns s with base+n elements, of which the first base are kept.
func grow[T any](s []T, base, n int) []T {
	if cap(s) >= base+n {
		return s[:base+n]
	}
	wider := make([]T, base+n, 2*(base+n))
	copy(wider, s[:base])
	return wider
}

func made(kind arrow.DataType, n, nulls int, buffers ...*memory.Buffer) arrow.Array {
	data := array.NewData(kind, n, buffers, nil, nulls, 0)
	defer data.Release()
	return array.MakeFromData(data)
}
