// Package encoding holds the encodings of Parquet that the writer uses: the RLE and bit-packing hybrid, DELTA_BINARY_PACKED,
// and the Thrift compact protocol of the metadata. See https://parquet.apache.org/docs/file-format/data-pages/encodings/.
package encoding

import "encoding/binary"

// Encodings of pages, as parquet.thrift numbers them.
const (
	Plain      = 0
	RLE        = 3
	Delta      = 5
	Dictionary = 8
)

// Levels collects small numbers (definition levels, dictionary indices) for one page. As long as all are equal it only counts them.
type Levels struct {
	value  uint32
	n      int // while uniform
	values []uint32
}

// Len is how many numbers there are.
func (l *Levels) Len() int { return l.n + len(l.values) }

// Reset forgets all, and keeps the memory.
func (l *Levels) Reset() { l.n, l.values = 0, l.values[:0] }

// Repeat adds a number n times.
func (l *Levels) Repeat(value uint32, n int) {
	if len(l.values) == 0 && (l.n == 0 || l.value == value) {
		l.value = value
		l.n += n
		return
	}
	for at := l.Extend(n); len(at) > 0; at = at[1:] {
		at[0] = value
	}
}

// Extend adds n numbers and returns the place to put them.
func (l *Levels) Extend(n int) []uint32 {
	have := l.Len()
	if cap(l.values) < have+n {
		grown := make([]uint32, len(l.values), max(have+n, 2*cap(l.values)))
		copy(grown, l.values)
		l.values = grown
	}
	if l.n > 0 { // not uniform any more
		l.values = l.values[:l.n]
		for i := range l.values {
			l.values[i] = l.value
		}
		l.n = 0
	}
	l.values = l.values[:have+n]
	return l.values[have:]
}

// Cut takes the last n numbers off again.
func (l *Levels) Cut(n int) {
	l.Extend(0)
	l.values = l.values[:len(l.values)-n]
}

// At is the i-th number.
func (l *Levels) At(i int) uint32 {
	if len(l.values) == 0 {
		return l.value
	}
	return l.values[i]
}

// Append encodes the numbers with a bit width in the hybrid form, without a length before them.
func (l *Levels) Append(dst []byte, width int) []byte {
	if len(l.values) == 0 {
		return appendRun(dst, l.value, l.n, width)
	}
	values := l.values
	worth := min(16, max(4, 96/width)) // how long a run must be to be shorter than packed
	for len(values) > 0 {
		if run := runLength(values); run >= worth || run == len(values) {
			dst = appendRun(dst, values[0], run, width)
			values = values[run:]
			continue
		}
		// Bit-packed groups of eight, until a run begins that is worth it, or up to the end: the last group is filled up with zeros.
		groups := 1
		for 8*(groups+2) <= len(values) && !begins(values[8*groups:]) {
			groups++
		}
		if 8*(groups+2) > len(values) {
			groups = (len(values) + 7) / 8
		}
		dst = binary.AppendUvarint(dst, uint64(groups)<<1|1)
		n := min(8*groups, len(values))
		dst = appendPacked(dst, values[:n], width)
		values = values[n:]
	}
	return dst
}

// begins says whether a run of sixteen begins.
func begins(v []uint32) bool {
	if v[0] != v[1] || v[0] != v[15] {
		return false
	}
	return runLength(v[:16]) == 16
}

func runLength(v []uint32) int {
	first := v[0]
	for i, x := range v {
		if x != first {
			return i
		}
	}
	return len(v)
}

func appendRun(dst []byte, value uint32, n, width int) []byte {
	if n == 0 {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(n)<<1)
	for bits := 0; bits < width; bits += 8 {
		dst = append(dst, byte(value>>bits))
	}
	return dst
}

// AppendBits encodes numbers that are 0 or 1 one bit each, as PLAIN booleans.
func (l *Levels) AppendBits(dst []byte) []byte {
	l.Extend(0)
	return appendPacked(dst, l.values, 1)[:len(dst)+(l.Len()+7)/8]
}

// appendPacked packs numbers of the width, least significant bit first, into whole groups of eight.
func appendPacked(dst []byte, values []uint32, width int) []byte {
	size := (len(values) + 7) / 8 * width
	at := len(dst)
	dst = append(dst, make([]byte, size+8)...)
	out := dst[at:]
	var acc uint64
	var bits uint
	for _, v := range values {
		acc |= uint64(v) << bits
		bits += uint(width)
		if bits >= 32 {
			binary.LittleEndian.PutUint32(out, uint32(acc))
			out = out[4:]
			acc >>= 32
			bits -= 32
		}
	}
	if bits > 0 {
		binary.LittleEndian.PutUint64(out, acc)
	}
	return dst[:at+size]
}

// Width is how many bits numbers up to most need.
func Width(most int) int {
	width := 0
	for ; most > 0; most >>= 1 {
		width++
	}
	return width
}
