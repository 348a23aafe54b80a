package encoding

import (
	"encoding/binary"
	"math/bits"
)

const (
	deltaBlock = 128
	deltaMini  = 32
)

// AppendDelta encodes numbers as DELTA_BINARY_PACKED, in blocks of 128 with 4 miniblocks.
func AppendDelta(dst []byte, values []int64) []byte {
	dst = binary.AppendUvarint(dst, deltaBlock)
	dst = binary.AppendUvarint(dst, deltaBlock/deltaMini)
	dst = binary.AppendUvarint(dst, uint64(len(values)))
	if len(values) == 0 {
		return binary.AppendVarint(dst, 0)
	}
	dst = binary.AppendVarint(dst, values[0])
	var deltas [deltaBlock]uint64
	for from := 1; from < len(values); from += deltaBlock {
		n := min(deltaBlock, len(values)-from)
		block := values[from-1 : from+n]
		least := block[1] - block[0]
		for i := range n {
			d := block[i+1] - block[i] // wraps around, as the reader's sum does
			deltas[i] = uint64(d)
			least = min(least, d)
		}
		var all uint64
		for i := range n {
			deltas[i] -= uint64(least)
			all |= deltas[i]
		}
		dst = binary.AppendVarint(dst, least)
		if all == 0 {
			dst = append(dst, 0, 0, 0, 0)
			continue
		}
		clear(deltas[n:])
		dst = appendMinis(dst, &deltas, n)
	}
	return dst
}

// appendMinis writes the widths of the miniblocks, then those that hold numbers.
func appendMinis(dst []byte, deltas *[deltaBlock]uint64, n int) []byte {
	widths := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	for m := 0; m*deltaMini < n; m++ {
		mini := deltas[m*deltaMini : (m+1)*deltaMini]
		var all uint64
		for _, d := range mini {
			all |= d
		}
		width := bits.Len64(all)
		dst[widths+m] = byte(width)
		dst = appendPacked64(dst, mini, width)
	}
	return dst
}

func appendPacked64(dst []byte, values []uint64, width int) []byte {
	if width == 0 {
		return dst
	}
	var acc uint64
	var have int
	for _, v := range values {
		acc |= v << have
		if have+width < 64 {
			have += width
			continue
		}
		dst = binary.LittleEndian.AppendUint64(dst, acc)
		used := 64 - have
		acc = 0
		if used < 64 {
			acc = v >> used
		}
		have += width - 64
	}
	for ; have > 0; have -= 8 {
		dst = append(dst, byte(acc))
		acc >>= 8
	}
	return dst
}
