package pack

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/zeebo/xxh3"
)

// mostStrings bounds a dictionary.
const mostStrings = 1 << 12

// packStrings packs a column of strings as a dictionary, in the order in which they come, where few of them are different.
func packStrings(f arrow.Field, column *array.String) (arrow.Field, arrow.Array) {
	codes, distinct, ok := encode(column)
	if !ok {
		column.Retain()
		return f, column
	}
	var index arrow.DataType = arrow.PrimitiveTypes.Uint16
	bytes := arrow.GetBytes(codes)
	if len(distinct) <= math.MaxUint8+1 {
		small := make([]uint8, len(codes))
		for i, c := range codes {
			small[i] = uint8(c)
		}
		index, bytes = arrow.PrimitiveTypes.Uint8, small
	}
	b := array.NewStringBuilder(memory.DefaultAllocator)
	defer b.Release()
	b.AppendValues(distinct, nil)
	dictionary := b.NewArray()
	defer dictionary.Release()
	indices := fixed(index, len(codes), validity(column), bytes)
	defer indices.Release()
	f.Type = &arrow.DictionaryType{IndexType: index, ValueType: arrow.BinaryTypes.String}
	return f, array.NewDictionaryArray(f.Type, indices, dictionary)
}

// encode numbers the different strings of a column; nulls have the number 0. It gives up where a dictionary would not be smaller.
func encode(column *array.String) (codes []uint16, distinct []string, ok bool) {
	n := column.Len()
	if n == 0 {
		return nil, nil, false
	}
	t := table{column: column}
	codes = make([]uint16, n)
	nulls := column.NullN() > 0
	for i := range codes {
		if nulls && column.IsNull(i) {
			continue
		}
		code, ok := t.code(column.Value(i))
		if !ok || i >= 1024 && len(t.distinct) > i/4 {
			return nil, nil, false
		}
		codes[i] = code
	}
	if len(t.distinct) > n/2 {
		return nil, nil, false
	}
	if len(t.distinct) == 0 {
		t.distinct = []string{""} // for the nulls
	}
	return codes, t.distinct, true
}

// table finds the number of a string by open addressing.
type table struct {
	column *array.String
	slots  [2 * mostStrings]struct {
		key  uint64
		code uint16 // of the string, from 1; 0 for an empty slot
	}
	distinct []string
}

// code returns the number of a string, a new one if it is new; false if there are too many.
func (t *table) code(s string) (uint16, bool) {
	key := keyOf(s)
	for at := key >> (64 - 13); ; at = (at + 1) % uint64(len(t.slots)) {
		slot := &t.slots[at]
		switch {
		case slot.code == 0:
			if len(t.distinct) == mostStrings {
				return 0, false
			}
			t.distinct = append(t.distinct, s)
			slot.key, slot.code = key, uint16(len(t.distinct))
			return slot.code - 1, true
		case slot.key == key && t.distinct[slot.code-1] == s:
			return slot.code - 1, true
		}
	}
}

// keyOf spreads a string over 64 bits: short ones without a call.
func keyOf(s string) uint64 {
	if len(s) > 8 {
		return xxh3.HashString(s)
	}
	var b [8]byte
	copy(b[:], s)
	return (binary.LittleEndian.Uint64(b[:]) ^ uint64(len(s))<<56 + 1) * 0x9E3779B185EBCA87
}

// unpackStrings writes the strings of a dictionary out.
func unpackStrings(f arrow.Field, column *array.Dictionary) (arrow.Array, error) {
	words, ok := column.Dictionary().(*array.String)
	if !ok || words.NullN() > 0 {
		return nil, fmt.Errorf("column %s is a dictionary of %s, want one of strings without nulls", f.Name, column.Dictionary().DataType())
	}
	switch indices := column.Indices().(type) {
	case *array.Uint8:
		return spell(f, column, words, indices.Uint8Values())
	case *array.Uint16:
		return spell(f, column, words, indices.Uint16Values())
	}
	return nil, fmt.Errorf("column %s is a dictionary indexed by %s, want 8 or 16 bits", f.Name, column.Indices().DataType())
}

// InOrder says whether the offsets of an array of strings that somebody else made follow each other, from 0 on or later.
func InOrder(offsets []int32) bool {
	return len(offsets) == 0 || offsets[0] >= 0 && slices.IsSorted(offsets)
}

func spell[T uint8 | uint16](f arrow.Field, column *array.Dictionary, words *array.String, codes []T) (arrow.Array, error) {
	if len(codes) > 0 && int(slices.Max(codes)) >= words.Len() {
		return nil, fmt.Errorf("column %s: index %d lies outside of the dictionary of %d", f.Name, slices.Max(codes), words.Len())
	}
	starts := words.ValueOffsets()
	if !InOrder(starts) { // Arrow has compared the last one with the text
		return nil, fmt.Errorf("values of %s overlap", f.Name)
	}
	var sum int64
	for _, c := range codes {
		sum += int64(starts[int(c)+1] - starts[c])
	}
	if sum > math.MaxInt32 {
		return nil, fmt.Errorf("column %s: strings of %d bytes, more than a block can have", f.Name, sum)
	}
	offsets := make([]int32, len(codes)+1)
	text := make([]byte, 0, sum+8)
	for i, c := range codes {
		text = append(text, words.Value(int(c))...)
		offsets[i+1] = int32(len(text))
	}
	data := array.NewData(arrow.BinaryTypes.String, len(codes), []*memory.Buffer{
		validity(column), memory.NewBufferBytes(arrow.GetBytes(offsets)), memory.NewBufferBytes(text),
	}, nil, column.NullN(), 0)
	defer data.Release()
	return array.MakeFromData(data), nil
}
