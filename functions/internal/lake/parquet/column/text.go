package column

import (
	"bytes"
	"encoding/binary"
)

// appendTexts adds texts that lie between the ends.
func (c *Column) appendTexts(ends []int32, text []byte) {
	n := len(ends) - 1
	if !c.plain && same(ends, text) {
		if number, ok := c.dict.Text(text[ends[0]:ends[1]]); ok {
			c.numbers.Repeat(number, n)
			c.mark(1, n)
			return
		}
	}
	for i := 0; i < n; {
		if !c.plain {
			// As many as go into the dictionary; the first that does not ends it.
			dst := c.numbers.Extend(n - i)
			done := c.dict.Texts(dst, ends[i:], text)
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

// appendText adds one text. It ends the dictionary if the text is too much for it, and the page if that is full.
func (c *Column) appendText(v []byte) {
	if !c.plain {
		if number, ok := c.dict.Text(v); ok {
			c.numbers.Repeat(number, 1)
			c.mark(1, 1)
			return
		}
		c.EndPage()
		c.plain = true
	}
	if c.Width == 0 {
		c.raw = binary.LittleEndian.AppendUint32(c.raw, uint32(len(v)))
	}
	c.raw = append(c.raw, v...)
	c.chunk.text(&c.Field, v)
	c.mark(1, 1)
	if len(c.raw) >= pageBytes {
		c.EndPage()
	}
}
