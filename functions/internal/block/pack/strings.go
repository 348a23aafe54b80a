package pack

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/zeebo/xxh3"
)

// mostStrings bounds a dictionary. mostText bounds what one stands for: the rows of a block have 24 MiB at most, but somebody else may have
// made the block.
const (
	mostStrings = 1 << 12
	mostText    = 64 << 20
)

// packStrings packs a column of strings as a dictionary, in the order in which they come, where few of them are different.
func packStrings(f arrow.Field, column *array.String) (arrow.Field, arrow.Array) {
	t, _ := tables.Get().(*table)
	defer t.release()
	if !t.encode(column) {
		column.Retain()
		return f, column
	}
	index := arrow.PrimitiveTypes.Uint16
	var bytes []byte
	if len(t.distinct) <= math.MaxUint8+1 {
		bytes = make([]byte, len(t.codes))
		for i, c := range t.codes {
			bytes[i] = uint8(c)
		}
		index = arrow.PrimitiveTypes.Uint8
	} else {
		bytes = arrow.GetBytes(slices.Clone(t.codes))
	}
	b := array.NewStringBuilder(memory.DefaultAllocator)
	defer b.Release()
	b.AppendValues(t.distinct, nil)
	dictionary := b.NewArray()
	defer dictionary.Release()
	indices := fixed(index, len(t.codes), validity(column), bytes)
	defer indices.Release()
	f.Type = &arrow.DictionaryType{IndexType: index, ValueType: arrow.BinaryTypes.String}
	return f, array.NewDictionaryArray(f.Type, indices, dictionary)
}

// table numbers the different strings of a column, by open addressing.
type table struct {
	slots    [2 * mostStrings]slot
	used     []uint64 // which of them are not free
	distinct []string
	codes    []uint16 // of the rows
}

type slot struct {
	key  uint64
	code uint16 // from 1; 0 if it is free
}

var tables = sync.Pool{New: func() any { return new(table) }}

// release gives the memory to the next column.
func (t *table) release() {
	for _, at := range t.used {
		t.slots[at] = slot{}
	}
	clear(t.distinct) // they lie in a batch, which goes
	t.used, t.distinct, t.codes = t.used[:0], t.distinct[:0], t.codes[:0]
	tables.Put(t)
}

// encode numbers the strings; a null has the number of the empty string, so that it takes no bytes when it is written out again. It gives
// up where a dictionary would not be smaller.
func (t *table) encode(column *array.String) bool {
	n := column.Len()
	if n == 0 {
		return false
	}
	nulls, offsets, text := column.NullN() > 0, column.ValueOffsets(), column.ValueBytes()
	first := offsets[0]
	t.codes = slices.Grow(t.codes, n)[:n]
	for i := range t.codes {
		from, to := int(offsets[i]-first), int(offsets[i+1]-first)
		if nulls && column.IsNull(i) {
			to = from
		}
		key := uint64(to - from)
		switch {
		case key >= 8:
			key = xxh3.Hash(text[from:to])
		case from+8 <= len(text):
			key = binary.LittleEndian.Uint64(text[from:])&(1<<(8*key)-1) | key<<56
		default:
			key = short(text[from:to])
		}
		code, ok := t.code(key, to-from < 8, column, i)
		if !ok || i >= 1024 && len(t.distinct) > i/4 {
			return false
		}
		t.codes[i] = code
	}
	return len(t.distinct) <= n/2
}

// short is the key of a string of up to seven bytes: the bytes, and their number above them.
func short(s []byte) uint64 {
	key := uint64(len(s)) << 56
	for i, b := range s {
		key |= uint64(b) << (8 * i)
	}
	return key
}

// code returns the number of the string of a row, a new one if it is new; false if there are too many. A key may be all there is to know
// of the string.
func (t *table) code(key uint64, all bool, column *array.String, row int) (uint16, bool) {
	for at := key * 0x9e3779b97f4a7c15 >> (64 - 13); ; at = (at + 1) % uint64(len(t.slots)) {
		switch s := &t.slots[at]; {
		case s.code == 0:
			if len(t.distinct) == mostStrings {
				return 0, false
			}
			word := ""
			if key != 0 || !all { // else it is empty, or null
				word = column.Value(row)
			}
			t.distinct = append(t.distinct, word)
			t.used = append(t.used, at)
			*s = slot{key, uint16(len(t.distinct))}
			return s.code - 1, true
		case s.key == key && (all && len(t.distinct[s.code-1]) < 8 || t.distinct[s.code-1] == column.Value(row)):
			return s.code - 1, true
		}
	}
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
	var size int64
	for _, c := range codes {
		size += int64(starts[int(c)+1] - starts[c])
	}
	if size > mostText {
		return nil, fmt.Errorf("column %s: strings of %d bytes, more than a block has", f.Name, size)
	}
	text, offsets := spelled(words, codes, int(size))
	data := array.NewData(arrow.BinaryTypes.String, len(codes), []*memory.Buffer{
		validity(column), memory.NewBufferBytes(arrow.GetBytes(offsets)), memory.NewBufferBytes(text),
	}, nil, column.NullN(), 0)
	defer data.Release()
	return array.MakeFromData(data), nil
}

func longest(starts []int32) (most int32) {
	for i := 1; i < len(starts); i++ {
		most = max(most, starts[i]-starts[i-1])
	}
	return most
}

// spelled writes the words that the codes stand for one after the other: size bytes.
func spelled[T uint8 | uint16](words *array.String, codes []T, size int) (text []byte, offsets []int32) {
	starts := words.ValueOffsets()
	offsets = make([]int32, len(codes)+1)
	text = make([]byte, size+8)
	at := 0
	if all := append([]byte(nil), words.ValueBytes()...); longest(starts) <= 8 {
		all = append(all, make([]byte, 8)...)
		for i, c := range codes { // eight bytes at once; what is too much is overwritten by the next
			binary.LittleEndian.PutUint64(text[at:], binary.LittleEndian.Uint64(all[starts[c]-starts[0]:]))
			at += int(starts[int(c)+1] - starts[c])
			offsets[i+1] = int32(at)
		}
		return text[:size], offsets
	}
	for i, c := range codes {
		at += copy(text[at:], words.Value(int(c)))
		offsets[i+1] = int32(at)
	}
	return text[:size], offsets
}
