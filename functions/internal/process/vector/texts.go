package vector

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/almanac-data/almanac/functions/internal/process/field"
	"github.com/almanac-data/almanac/functions/internal/process/split"
)

// texts holds the values of a text column: value i is the bytes from offset i to offset i+1 of data.
type texts struct {
	flags

	column  *Column
	lengths uint64 // bit n mod 64 says that a text that stands for null may have n bytes
	data    []byte
	offsets []int32
}

func newTexts(c *Column) *texts {
	t := &texts{column: c, offsets: []int32{0}}
	for _, n := range c.nulls {
		t.lengths |= 1 << (len(n) & 63)
	}
	t.lengths |= 1 // an empty text may be null
	return t
}

func (t *texts) Load(k *split.Chunk, base int) {
	t.extend(base, k.N)
	t.offsets = grow(t.offsets, base+1, k.N)
	offsets := t.offsets[base+1:]
	at := int(t.offsets[base])
	t.data = grow(t.data, at, k.Width()+8)[:at]
	if t.column.At < 0 {
		for i := range offsets {
			t.slow(k, base, i)
			offsets[i] = int32(len(t.data))
		}
		return
	}
	data := t.data
	fields, source, lengths, trim := k.Fields[t.column.At:], k.Text, t.lengths, t.column.trim
	for i := range offsets {
		at := fields[i*k.Stride]
		start, end := at.Start(), at.End()
		size := end - start
		switch {
		case at.Kind()-split.Bare > split.Quoted-split.Bare || lengths>>(size&63)&1 != 0 || trim && (source[start] <= ' ' || source[end-1] <= ' '):
			t.data = data
			t.slow(k, base, i)
			data = t.data
		case size <= 8 && start+8 <= len(source) && len(data)+8 <= cap(data):
			n := len(data)
			data = data[:n+8]
			binary.LittleEndian.PutUint64(data[n:], binary.LittleEndian.Uint64(source[start:]))
			data = data[:n+size]
		default:
			data = append(data, source[start:end]...)
		}
		offsets[i] = int32(len(data))
	}
	t.data = data
}

// slow appends a field that is not plainly a text.
func (t *texts) slow(k *split.Chunk, base, i int) {
	text, kind := t.column.text(k, i)
	switch kind {
	case split.Null:
		t.set(base + i)
	case split.Bare, split.Quoted:
		t.data = append(t.data, text...)
	default:
		t.set(base + i)
		t.column.fault(i, field.Type, text)
	}
}

func (t *texts) get(row int) []byte { return t.data[t.offsets[row]:t.offsets[row+1]] }

func (t *texts) Keep(base int, rows []int32) {
	to := t.offsets[base]
	for i, from := range rows {
		v := t.get(base + int(from))
		copy(t.data[to:], v)
		to += int32(len(v))
		t.offsets[base+i+1] = to
	}
	t.pick(base, rows)
}

// For makes the column ready for a slice, whose pseudonyms keys makes.
func (c *Column) For(keys Pseudonyms) {
	if c.Personal() {
		c.keys = keys
	}
}

// Hide replaces the values of rows [from, to), which are the last, by pseudonyms if the column is personal.
func (c *Column) Hide(ctx context.Context, from, to int) error {
	if !c.Personal() {
		return nil
	}
	if c.keys == nil {
		return fmt.Errorf("column %s is personal: there is no key for its pseudonyms", c.Name)
	}
	t := c.vector.(*texts)
	start := t.offsets[from]
	plain, at := bytes.Clone(t.data[start:t.offsets[to]]), 0
	values := c.plain[:0]
	end := start
	for row := from; row < to; row++ {
		size := int(t.offsets[row+1]-start) - at
		if !t.IsNull(row) {
			values = append(values, plain[at:at+size])
			end += PseudonymBytes
		}
		at += size
		t.offsets[row+1] = end
	}
	data, err := c.keys.Append(ctx, t.data[:start], values)
	clear(values)
	c.plain = values
	if err != nil {
		return fmt.Errorf("column %s: %w", c.Name, err)
	}
	if len(data) != int(end) {
		return fmt.Errorf("column %s: %d bytes of pseudonyms for %d values", c.Name, len(data)-int(start), len(values))
	}
	t.data = data
	return nil
}

func (t *texts) Size(n int) int { return 4*n + int(t.offsets[n]) }

func (t *texts) Finish(n int) arrow.Array {
	validity, nulls := t.buffer(n)
	offsets := arrow.Int32Traits.CastToBytes(t.offsets[:n+1])
	return made(arrow.BinaryTypes.String, n, nulls, validity, memory.NewBufferBytes(offsets), memory.NewBufferBytes(t.data[:t.offsets[n]]))
}

func (t *texts) order(value string) (func(row int) int, bool) {
	want := []byte(value)
	return func(row int) int { return bytes.Compare(t.get(row), want) }, true
}
