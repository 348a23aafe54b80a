package store

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/zeebo/xxh3"
)

// Two odd constants of xxHash's family; the second stands for null.
const (
	prime = 0x9E3779B185EBCA87
	null  = 0xC2B2AE3D27D4EB4F
)

// mix folds one value into a running row hash: a 64x64 to 128-bit multiplication, both halves xored.
func mix(h, v uint64) uint64 {
	hi, lo := bits.Mul64(h^v^prime, v^bits.RotateLeft64(h, 29)^null)
	return hi ^ lo
}

// hashRows folds one column into the hashes of its rows. Equal values of equal type give equal hashes on any machine.
func hashRows(h []uint64, col arrow.Array) {
	if col.NullN() > 0 {
		hashNullable(h, col)
		return
	}
	value := hasher(col)
	switch c := col.(type) {
	case *array.Int64:
		for i, v := range c.Int64Values() {
			h[i] = mix(h[i], uint64(v))
		}
	case *array.Timestamp:
		for i, v := range c.TimestampValues() {
			h[i] = mix(h[i], uint64(v))
		}
	case *array.Float64:
		for i, v := range c.Float64Values() {
			h[i] = mix(h[i], floatBits(v))
		}
	default:
		for i := range h {
			h[i] = mix(h[i], value(i))
		}
	}
}

func hashNullable(h []uint64, col arrow.Array) {
	value := hasher(col)
	for i := range h {
		if col.IsNull(i) {
			h[i] = mix(h[i], null)
		} else {
			h[i] = mix(h[i], value(i))
		}
	}
}

func hasher(col arrow.Array) func(i int) uint64 {
	switch c := col.(type) {
	case *array.String:
		return func(i int) uint64 { return hashString(c.Value(i)) }
	case *array.Binary:
		return func(i int) uint64 { return xxh3.Hash(c.Value(i)) }
	case *array.Int64:
		return func(i int) uint64 { return uint64(c.Value(i)) }
	case *array.Int32:
		return func(i int) uint64 { return uint64(c.Value(i)) }
	case *array.Timestamp:
		return func(i int) uint64 { return uint64(c.Value(i)) }
	case *array.Date32:
		return func(i int) uint64 { return uint64(c.Value(i)) }
	case *array.Float64:
		return func(i int) uint64 { return floatBits(c.Value(i)) }
	case *array.Boolean:
		return func(i int) uint64 {
			if c.Value(i) {
				return 1
			}
			return 2
		}
	case *array.Decimal128:
		return func(i int) uint64 { return mix(c.Value(i).LowBits(), uint64(c.Value(i).HighBits())) }
	}
	return func(i int) uint64 { return hashString(col.ValueStr(i)) }
}

// hashString hashes short strings, which most codes and categories are, without a call; longer ones by XXH3.
func hashString(s string) uint64 {
	if len(s) > 8 {
		return xxh3.HashString(s)
	}
	var b [8]byte
	copy(b[:], s)
	return mix(uint64(len(s)), binary.LittleEndian.Uint64(b[:]))
}

// floatBits makes the two zeros equal, as SQL does.
func floatBits(v float64) uint64 {
	if v == 0 {
		return 0
	}
	return math.Float64bits(v)
}
