package parquet

import (
	"bytes"
	"encoding/binary"
)

// appendTexts adds texts that lie between the ends.
func (c *column) appendTexts(ends []int32, text []byte) {
	n := len(ends) - 1
	if !c.plain && same(ends, text) {
		if number, ok := c.lookUp(text[ends[0]:ends[1]]); ok {
			c.numbers.Repeat(number, n)
			c.mark(1, n)
			return
		}
	}
	for i := 0; i < n; {
		if !c.plain {
			// As many as go into the dictionary; the first that does not ends it.
			dst := c.numbers.Extend(n - i)
			done := c.dict.texts(dst, ends[i:], text)
			c.numbers.Cut(n - i - done)
			c.mark(1, done)
			if i += done; i == n {
				return
			}
		}
		c.appendText(text[ends[i]:ends[i+1]])
		i++
	}
}

// same says whether all texts are equal.
func same(ends []int32, text []byte) bool {
	n := len(ends) - 1
	if n < 2 {
		return false
	}
	width := ends[1] - ends[0]
	if ends[n]-ends[0] != width*int32(n) {
		return false
	}
	for i := range n {
		if ends[i+1]-ends[i] != width {
			return false
		}
	}
	all := text[ends[0]:ends[n]]
	return width == 0 || bytes.Equal(all[:len(all)-int(width)], all[width:])
}

// texts looks up texts until one would be too much, and returns how many it did.
func (d *dictionary) texts(dst []uint32, ends []int32, text []byte) int {
	from := ends[0]
	for i := range dst {
		to := ends[i+1]
		size := int(to - from)
		switch {
		case size < 8 && int(from)+8 <= len(text):
			key := binary.LittleEndian.Uint64(text[from:])&masks[size] | uint64(size)<<56
			if d.looked && key == d.lastIn {
				dst[i] = d.lastAt
				break
			}
			dst[i] = d.short(key)
			d.lastIn, d.lastAt, d.looked = key, dst[i], true
		case size < 8:
			dst[i] = d.short(word(text[from:to]))
		default:
			if len(d.text)+size > dictionaryBytes && !d.has(text[from:to]) {
				return i
			}
			dst[i] = d.longer(text[from:to])
		}
		from = to
	}
	return len(dst)
}

func (d *dictionary) has(v []byte) bool {
	_, ok := d.long[string(v)]
	return ok
}

// lookUp returns the number of a text, if the dictionary may have it.
func (c *column) lookUp(v []byte) (uint32, bool) {
	switch {
	case len(v) < 8:
		return c.dict.short(word(v)), true
	case len(c.dict.text)+len(v) > dictionaryBytes && !c.dict.has(v):
		return 0, false
	}
	return c.dict.longer(v), true
}

// appendText adds one text. It ends the dictionary if the text is too much for it, and the page if that is full.
func (c *column) appendText(v []byte) {
	if !c.plain {
		if number, ok := c.lookUp(v); ok {
			c.numbers.Repeat(number, 1)
			c.mark(1, 1)
			return
		}
		c.endPage()
		c.plain = true
	}
	if c.width == 0 {
		c.raw = binary.LittleEndian.AppendUint32(c.raw, uint32(len(v)))
	}
	c.raw = append(c.raw, v...)
	c.chunk.text(&c.field, v)
	c.mark(1, 1)
	if len(c.raw) >= pageBytes {
		c.endPage()
	}
}
