package key

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/zeebo/xxh3"
)

// Odd constants of xxHash's family.
const (
	prime  = 0x9E3779B185EBCA87
	prime2 = 0xC2B2AE3D27D4EB4F
	null   = 0x165667B19E3779F9
)

// mix folds 64 bits into a running row hash: a 64x64 to 128-bit multiplication, both halves xored.
func mix(h, v uint64) uint64 {
	hi, lo := bits.Mul64(h^v^prime, v^bits.RotateLeft64(h, 29)^prime2)
	return hi ^ lo
}

// Hash folds one column into the hashes of its rows. Equal values of equal type give equal hashes on any machine.
// A value is folded whole, not as a hash of its own: two hashes that start from different seeds meet independently.
func Hash(h []uint64, col arrow.Array) {
	if col.NullN() > 0 {
		hashNullable(h, col)
		return
	}
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
	case *array.String:
		for i := range h {
			h[i] = foldString(h[i], c.Value(i))
		}
	default:
		fold := folder(col)
		for i := range h {
			h[i] = fold(h[i], i)
		}
	}
}

func hashNullable(h []uint64, col arrow.Array) {
	fold := folder(col)
	for i := range h {
		if col.IsNull(i) {
			h[i] = mix(mix(h[i], null), null) // twice: no single value of 64 bits looks like it
		} else {
			h[i] = fold(h[i], i)
		}
	}
}

// folder gives the function that folds the i-th value of a column into a hash.
func folder(col arrow.Array) func(h uint64, i int) uint64 {
	switch c := col.(type) {
	case *array.String:
		return func(h uint64, i int) uint64 { return foldString(h, c.Value(i)) }
	case *array.Int64:
		return func(h uint64, i int) uint64 { return mix(h, uint64(c.Value(i))) }
	case *array.Timestamp:
		return func(h uint64, i int) uint64 { return mix(h, uint64(c.Value(i))) }
	case *array.Date32:
		return func(h uint64, i int) uint64 { return mix(h, uint64(c.Value(i))) }
	case *array.Float64:
		return func(h uint64, i int) uint64 { return mix(h, floatBits(c.Value(i))) }
	case *array.Boolean:
		return func(h uint64, i int) uint64 {
			if c.Value(i) {
				return mix(h, 1)
			}
			return mix(h, 2)
		}
	case *array.Decimal128:
		return func(h uint64, i int) uint64 { return mix(mix(h, c.Value(i).LowBits()), uint64(c.Value(i).HighBits())) }
	}
	return func(h uint64, i int) uint64 { return foldString(h, col.ValueStr(i)) }
}

// foldString folds short strings, which most codes and categories are, without a call; longer ones by XXH3.
func foldString(h uint64, s string) uint64 {
	if len(s) > 8 {
		return mix(h, xxh3.HashStringSeed(s, h))
	}
	var b [8]byte
	copy(b[:], s)
	return mix(mix(h, uint64(len(s))), binary.LittleEndian.Uint64(b[:]))
}

// floatBits makes the two zeros equal, as SQL does.
func floatBits(v float64) uint64 {
	if v == 0 {
		return 0
	}
	return math.Float64bits(v)
}
