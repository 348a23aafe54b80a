// Package column makes the column chunks of a Parquet file of Arrow arrays.
package column

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/klauspost/compress/zstd"

	"github.com/almanac-data/almanac/functions/internal/lake/parquet/dictionary"
	"github.com/almanac-data/almanac/functions/internal/lake/parquet/encoding"
	"github.com/almanac-data/almanac/functions/internal/lake/parquet/schema"
)

const (
	pageBytes      = 1 << 20 // a page of texts ends when it has this many bytes
	dictionarySize = 1 << 16 // a dictionary gets no further pages beyond this
	probe          = 1 << 12 // numbers go without dictionary if most of so many first ones are different
)

// Column collects the values of a page, and the finished pages of a row group. Use makes it ready.
type Column struct {
	schema.Field

	levels  encoding.Levels // definition levels of the page, if the column is nullable
	numbers encoding.Levels // numbers in the dictionary of the page's values, or booleans
	words   []int64         // values of the page that go without dictionary: numbers
	raw     []byte          // and others, in PLAIN form
	count   int             // values of the page that are not null
	rows    int             // and with those that are

	dict  dictionary.Dictionary
	plain bool // the row group's further pages go without dictionary

	chunk  chunk
	zstd   *zstd.Encoder
	gather []int64 // scratch, as are the next
	body   []byte
	page   []byte
	header encoding.Thrift
}

// Append adds n values of an array.
func (c *Column) Append(a arrow.Array, from, n int) error {
	if a.NullN() == 0 || bitutil.CountSetBits(a.NullBitmapBytes(), a.Data().Offset()+from, n) == n {
		return c.appendValues(a, from, n)
	}
	if !c.Nullable {
		return fmt.Errorf("column %s has nulls, and must not", c.Name)
	}
	// Run by run of nulls and values.
	for end := from + n; from < end; {
		null := a.IsNull(from)
		to := from + 1
		for to < end && a.IsNull(to) == null {
			to++
		}
		if null {
			c.mark(0, to-from)
		} else if err := c.appendValues(a, from, to-from); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// mark counts values that the page has got: level 0 if they are null, else 1.
func (c *Column) mark(level uint32, n int) {
	c.rows += n
	c.count += n * int(level)
	if c.Nullable {
		c.levels.Repeat(level, n)
	}
}

// appendValues adds values that are not null.
func (c *Column) appendValues(a arrow.Array, from, n int) error {
	offset := a.Data().Offset() + from
	buffers := a.Data().Buffers()
	switch t := a.(type) {
	case *array.Int64, *array.Timestamp, *array.Float64:
		raw := buffers[1].Bytes()[8*offset : 8*(offset+n)]
		c.appendWords(arrow.Int64Traits.CastFromBytes(raw), constant(raw, 8))
	case *array.Int32, *array.Date32:
		c.appendInt32(buffers[1].Bytes()[4*offset : 4*(offset+n)])
	case *array.Boolean:
		dst := c.numbers.Extend(n)
		for i := range dst {
			dst[i] = 0
			if t.Value(from + i) {
				dst[i] = 1
			}
		}
		c.mark(1, n)
	case *array.Decimal128:
		return c.appendDecimals(t, from, n)
	case *array.String, *array.Binary:
		var text []byte
		if buffers[2] != nil {
			text = buffers[2].Bytes()
		}
		c.appendTexts(arrow.Int32Traits.CastFromBytes(buffers[1].Bytes())[offset:offset+n+1], text)
	default:
		return fmt.Errorf("column %s: array of type %s", c.Name, a.DataType())
	}
	return nil
}

// constant says whether all values of a width are equal.
func constant(raw []byte, width int) bool {
	return len(raw) > width && bytes.Equal(raw[:len(raw)-width], raw[width:])
}

// appendWords adds numbers, or the bits of floating-point numbers. Counters and keys are known by their first values.
func (c *Column) appendWords(values []int64, same bool) {
	if left := probe - c.count; !c.plain && c.chunk.pages == 0 && left > 0 && left <= len(values) {
		c.appendSome(values[:left], same)
		if 2*c.dict.Len() > probe {
			c.undoDictionary()
		}
		values = values[left:]
	}
	c.appendSome(values, same)
}

func (c *Column) appendSome(values []int64, same bool) {
	if len(values) == 0 {
		return
	}
	c.mark(1, len(values))
	switch {
	case c.plain:
		c.words = append(c.words, values...)
	case same:
		c.numbers.Repeat(c.dict.Number(uint64(values[0])), len(values))
	default:
		c.dict.Numbers(c.numbers.Extend(len(values)), values)
	}
}

func (c *Column) appendInt32(raw []byte) {
	c.gather = c.gather[:0]
	for _, v := range arrow.Int32Traits.CastFromBytes(raw) {
		c.gather = append(c.gather, int64(v))
	}
	c.appendWords(c.gather, constant(raw, 4))
}

func (c *Column) appendDecimals(a *array.Decimal128, from, n int) error {
	if c.Physical == schema.Fixed {
		for i := from; i < from+n; i++ {
			var b [16]byte
			v := a.Value(i)
			binary.BigEndian.PutUint64(b[:8], uint64(v.HighBits()))
			binary.BigEndian.PutUint64(b[8:], v.LowBits())
			c.appendText(b[16-c.Width:])
		}
		return nil
	}
	c.gather = c.gather[:0]
	for i := from; i < from+n; i++ {
		v := a.Value(i)
		if low := int64(v.LowBits()); low>>63 != v.HighBits() || c.Physical == schema.Int32 && int64(int32(low)) != low {
			return fmt.Errorf("column %s: decimal does not fit its precision", c.Name)
		}
		c.gather = append(c.gather, int64(v.LowBits()))
	}
	c.appendWords(c.gather, false)
	return nil
}
