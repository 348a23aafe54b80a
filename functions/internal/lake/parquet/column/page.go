package column

import (
	"encoding/binary"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/almanac-data/almanac/functions/internal/lake/parquet/dictionary"
	"github.com/almanac-data/almanac/functions/internal/lake/parquet/encoding"
	"github.com/almanac-data/almanac/functions/internal/lake/parquet/schema"
)

// EndPage writes the page, if it has any rows, to the chunk.
func (c *Column) EndPage() {
	if c.rows == 0 {
		return
	}
	if c.chunk.pages == 0 && !c.plain && 2*c.dict.Len() > c.count && c.Physical != schema.Boolean {
		c.undoDictionary()
	}
	body := c.body[:0]
	if c.Nullable {
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
	if c.dict.Len() > dictionarySize || c.dict.Bytes() > dictionary.MostBytes {
		c.plain = true
	}
}

// undoDictionary turns the first page into one without dictionary, because nearly every value is another.
func (c *Column) undoDictionary() {
	c.plain = true
	for i := range c.count {
		number := int(c.numbers.At(i))
		switch c.Physical {
		case schema.Bytes, schema.Fixed:
			v := c.dict.Value(number)
			if c.Width == 0 {
				c.raw = binary.LittleEndian.AppendUint32(c.raw, uint32(len(v)))
			}
			c.raw = append(c.raw, v...)
			c.chunk.text(&c.Field, v)
		default:
			c.words = append(c.words, int64(c.dict.Word(number)))
		}
	}
	c.numbers.Reset()
	c.dict.Reset()
}

// appendPage encodes the values of the page and returns the encoding.
func (c *Column) appendPage(body []byte) ([]byte, int32) {
	switch {
	case c.Physical == schema.Boolean:
		for i := range c.count {
			c.chunk.word(&c.Field, int64(c.numbers.At(i)))
		}
		return c.numbers.AppendBits(body), encoding.Plain
	case c.count == 0:
		return body, encoding.Plain
	case len(c.raw) > 0:
		return append(body, c.raw...), encoding.Plain
	case len(c.words) > 0:
		return c.appendNumbers(body)
	}
	width := max(1, encoding.Width(c.dict.Len()-1))
	return c.numbers.Append(append(body, byte(width)), width), encoding.Dictionary
}

// appendNumbers encodes numbers as differences where that is shorter.
func (c *Column) appendNumbers(body []byte) ([]byte, int32) {
	for _, v := range c.words {
		c.chunk.word(&c.Field, v)
	}
	if c.Physical == schema.Int64 {
		delta := encoding.AppendDelta(body, c.words)
		if len(delta)-len(body) < 6*len(c.words) {
			return delta, encoding.Delta
		}
	}
	return c.appendPlain(body, c.words), encoding.Plain
}

// appendPlain writes numbers as they are.
func (c *Column) appendPlain(body []byte, words []int64) []byte {
	if c.Width == 8 {
		return append(body, arrow.Int64Traits.CastToBytes(words)...)
	}
	for _, v := range words {
		body = binary.LittleEndian.AppendUint32(body, uint32(v))
	}
	return body
}

// appendDictionary writes the values of the dictionary.
func (c *Column) appendDictionary(body []byte) []byte {
	for n := range c.dict.Len() {
		switch {
		case c.Physical == schema.Bytes:
			text := c.dict.Value(n)
			body = append(binary.LittleEndian.AppendUint32(body, uint32(len(text))), text...)
		case c.Physical == schema.Fixed:
			body = append(body, c.dict.Value(n)...)
		case c.Width == 4:
			body = binary.LittleEndian.AppendUint32(body, uint32(c.dict.Word(n)))
		default:
			body = binary.LittleEndian.AppendUint64(body, c.dict.Word(n))
		}
	}
	return body
}
