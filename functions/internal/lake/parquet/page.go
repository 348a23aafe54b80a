package parquet

import (
	"encoding/binary"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/almanac-data/almanac/functions/internal/lake/parquet/encoding"
)

// endPage writes the page, if it has any rows, to the chunk.
func (c *column) endPage() {
	if c.rows == 0 {
		return
	}
	if c.chunk.pages == 0 && !c.plain && 2*c.dict.len() > c.count && c.physical != typeBoolean {
		c.undoDictionary()
	}
	body := c.body[:0]
	if c.nullable {
		body = c.levels.Append(append(body, 0, 0, 0, 0), 1)
		binary.LittleEndian.PutUint32(body, uint32(len(body)-4))
	}
	body, form := c.appendPage(body)
	c.body = body
	c.chunk.addPage(c, body, form)
	c.levels.Reset()
	c.numbers.Reset()
	c.words, c.raw = c.words[:0], c.raw[:0]
	c.rows, c.count = 0, 0
	if c.dict.len() > dictionarySize || len(c.dict.text) > dictionaryBytes {
		c.plain = true
	}
}

// undoDictionary turns the first page into one without dictionary, because nearly every value is another.
func (c *column) undoDictionary() {
	c.plain = true
	for i := range c.count {
		number := int(c.numbers.At(i))
		switch c.physical {
		case typeBytes, typeFixed:
			v := c.dict.value(number)
			if c.width == 0 {
				c.raw = binary.LittleEndian.AppendUint32(c.raw, uint32(len(v)))
			}
			c.raw = append(c.raw, v...)
			c.chunk.text(&c.field, v)
		default:
			c.words = append(c.words, int64(c.dict.order[number]))
		}
	}
	c.numbers.Reset()
	c.dict.reset()
}

// appendPage encodes the values of the page and returns the encoding.
func (c *column) appendPage(body []byte) ([]byte, int32) {
	switch {
	case c.physical == typeBoolean:
		for i := range c.count {
			c.chunk.word(&c.field, int64(c.numbers.At(i)))
		}
		return c.numbers.AppendBits(body), encodingPlain
	case c.count == 0:
		return body, encodingPlain
	case len(c.raw) > 0:
		return append(body, c.raw...), encodingPlain
	case len(c.words) > 0:
		return c.appendNumbers(body)
	}
	width := max(1, encoding.Width(c.dict.len()-1))
	return c.numbers.Append(append(body, byte(width)), width), encodingDictionary
}

// appendNumbers encodes numbers as differences where that is shorter.
func (c *column) appendNumbers(body []byte) ([]byte, int32) {
	for _, v := range c.words {
		c.chunk.word(&c.field, v)
	}
	if c.physical == typeInt64 {
		delta := encoding.AppendDelta(body, c.words)
		if len(delta)-len(body) < 6*len(c.words) {
			return delta, encodingDelta
		}
	}
	return c.appendPlain(body, c.words), encodingPlain
}

// appendPlain writes numbers as they are.
func (c *column) appendPlain(body []byte, words []int64) []byte {
	if c.width == 8 {
		return append(body, arrow.Int64Traits.CastToBytes(words)...)
	}
	for _, v := range words {
		body = binary.LittleEndian.AppendUint32(body, uint32(v))
	}
	return body
}

// appendDictionary writes the values of the dictionary.
func (c *column) appendDictionary(body []byte) []byte {
	for n, v := range c.dict.order {
		switch {
		case c.physical == typeBytes:
			text := c.dict.value(n)
			body = append(binary.LittleEndian.AppendUint32(body, uint32(len(text))), text...)
		case c.physical == typeFixed:
			body = append(body, c.dict.value(n)...)
		case c.width == 4:
			body = binary.LittleEndian.AppendUint32(body, uint32(v))
		default:
			body = binary.LittleEndian.AppendUint64(body, v)
		}
	}
	return body
}
