package column

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"io"
	"math"

	"github.com/klauspost/compress/zstd"

	"github.com/almanac-data/almanac/functions/internal/lake/parquet/encoding"
	"github.com/almanac-data/almanac/functions/internal/lake/parquet/schema"
)

// longestBound is the longest text that stands as minimum or maximum; with a longer one there is neither.
const longestBound = 64

// Numbers of parquet.thrift.
const (
	codecZstd = 6

	pageData       = 0
	pageDictionary = 2
)

// chunk is what a row group has of one column so far.
type chunk struct {
	data    []byte // pages with their headers, compressed
	pages   int
	byForm  [encoding.Dictionary + 1]int32 // data pages by encoding
	rows    int64
	nulls   int64
	rawSize int64 // with headers, before compression

	bounded      bool // least and most are set
	least, most  int64
	first, last  []byte // of texts
	offset, dict int64  // in the file: of the first data page, and of the dictionary or 0
	size         int64
}

func (k *chunk) reset() {
	*k = chunk{data: k.data[:0], first: k.first[:0], last: k.last[:0]}
}

// addPage compresses a data page and puts its header before it.
func (k *chunk) addPage(c *Column, body []byte, form int32) {
	k.data, k.rawSize = c.appendPageOf(k.data, k.rawSize, body, pageData, func(t *encoding.Thrift) {
		t.Struct(5, func() {
			t.I32(1, int32(c.rows))
			t.I32(2, form)
			t.I32(3, encoding.RLE)
			t.I32(4, encoding.RLE)
		})
	})
	k.pages++
	k.byForm[form]++
	k.rows += int64(c.rows)
	k.nulls += int64(c.rows - c.count)
}

// appendPageOf adds a page of any kind to dst.
func (c *Column) appendPageOf(dst []byte, rawSize int64, body []byte, kind int32, more func(*encoding.Thrift)) ([]byte, int64) {
	// Compress behind the place of the header, whose length is not known yet.
	const room = 64
	at := len(dst)
	dst = append(dst, make([]byte, room)...)
	dst = c.zstd.EncodeAll(body, dst)
	packed := len(dst) - at - room
	var buf [room]byte
	t := &c.header
	t.Reset(buf[:0])
	t.I32(1, kind)
	t.I32(2, int32(len(body)))
	t.I32(3, int32(packed))
	more(t)
	header := t.Bytes()
	copy(dst[at:], header)
	copy(dst[at+len(header):], dst[at+room:])
	return dst[:at+len(header)+packed], rawSize + int64(len(header)+len(body))
}

// text takes a text into the bounds.
func (k *chunk) text(f *schema.Field, v []byte) {
	if !k.bounded {
		k.bounded = true
		k.first, k.last = append(k.first[:0], v...), append(k.last[:0], v...)
		return
	}
	if compareText(f, v, k.first) < 0 {
		k.first = append(k.first[:0], v...)
	}
	if compareText(f, v, k.last) > 0 {
		k.last = append(k.last[:0], v...)
	}
}

// compareText orders texts by their bytes, and decimals in bytes by their value.
func compareText(f *schema.Field, a, b []byte) int {
	if f.Physical == schema.Fixed && a[0] != b[0] {
		return cmp.Compare(int8(a[0]), int8(b[0]))
	}
	return bytes.Compare(a, b)
}

// word takes a number into the bounds. Not-a-number has no place in an order.
func (k *chunk) word(f *schema.Field, v int64) {
	if f.Float {
		x := math.Float64frombits(uint64(v))
		if math.IsNaN(x) {
			return
		}
		if k.bounded && x >= math.Float64frombits(uint64(k.least)) && x <= math.Float64frombits(uint64(k.most)) {
			return
		}
		if !k.bounded || x < math.Float64frombits(uint64(k.least)) {
			k.least = v
		}
		if !k.bounded || x > math.Float64frombits(uint64(k.most)) {
			k.most = v
		}
		k.bounded = true
		return
	}
	if !k.bounded {
		k.bounded, k.least, k.most = true, v, v
	}
	k.least, k.most = min(k.least, v), max(k.most, v)
}

// End writes the dictionary and the pages to the file, at its offset.
func (c *Column) End(w io.Writer, offset int64) error {
	c.EndPage()
	k := &c.chunk
	if k.byForm[encoding.Dictionary] > 0 {
		c.body = c.appendDictionary(c.body[:0])
		for n := range c.dict.Len() {
			if c.Width == 0 || c.Physical == schema.Fixed {
				k.text(&c.Field, c.dict.Value(n))
			} else {
				k.word(&c.Field, int64(c.dict.Word(n)))
			}
		}
		var page []byte
		page, k.rawSize = c.appendPageOf(c.page[:0], k.rawSize, c.body, pageDictionary, func(t *encoding.Thrift) {
			t.Struct(7, func() {
				t.I32(1, int32(c.dict.Len()))
				t.I32(2, encoding.Plain)
			})
		})
		c.page = page
		if _, err := w.Write(page); err != nil {
			return err
		}
		k.dict = offset
		offset += int64(len(page))
		k.size = int64(len(page))
	}
	k.offset = offset
	k.size += int64(len(k.data))
	_, err := w.Write(k.data)
	return err
}

// Use makes the column ready for another file.
func (c *Column) Use(f schema.Field, enc *zstd.Encoder) {
	c.Field, c.zstd = f, enc
	c.Start()
}

// Size is how many bytes the row group has so far, up to the last page.
func (c *Column) Size() int { return len(c.chunk.data) + c.dict.Bytes() }

// RawSize is how many bytes the row group has, once it has ended, before compression.
func (c *Column) RawSize() int64 { return c.chunk.rawSize }

// Memory is how many bytes the column keeps for the next file.
func (c *Column) Memory() int { return cap(c.chunk.data) + cap(c.raw) + cap(c.body) + c.dict.Memory() }

// Start makes the column ready for another row group.
func (c *Column) Start() {
	c.chunk.reset()
	c.dict.Reset()
	c.plain = false
}

// Metadata writes the ColumnMetaData.
func (c *Column) Metadata(t *encoding.Thrift) {
	k := &c.chunk
	forms := []int32{encoding.RLE}
	for form, n := range k.byForm {
		if n > 0 || form == encoding.Plain && k.dict > 0 {
			forms = append(forms, int32(form))
		}
	}
	t.I32(1, c.Physical)
	t.I32s(2, forms...)
	t.Text(3, c.Name)
	t.I32(4, codecZstd)
	t.I64(5, k.rows)
	t.I64(6, k.rawSize)
	t.I64(7, k.size)
	t.I64(9, k.offset)
	if k.dict > 0 {
		t.I64(11, k.dict)
	}
	t.Struct(12, func() { c.statistics(t) })
	stats := make([][3]int32, 0, 4)
	if k.dict > 0 {
		stats = append(stats, [3]int32{pageDictionary, encoding.Plain, 1})
	}
	for form, n := range k.byForm {
		if n > 0 {
			stats = append(stats, [3]int32{pageData, int32(form), n})
		}
	}
	t.Structs(13, len(stats))
	for _, s := range stats {
		t.Item(func() { t.I32(1, s[0]); t.I32(2, s[1]); t.I32(3, s[2]) })
	}
}

func (c *Column) statistics(t *encoding.Thrift) {
	k := &c.chunk
	t.I64(3, k.nulls)
	if !k.bounded {
		return
	}
	least, most := k.first, k.last
	switch c.Physical {
	case schema.Bytes:
		if len(least) > longestBound || len(most) > longestBound {
			return
		}
	case schema.Boolean:
		least, most = []byte{byte(k.least)}, []byte{byte(k.most)}
	case schema.Int32, schema.Int64, schema.Double:
		if c.Float { // zeros of either sign are equal
			if k.least<<1 == 0 {
				k.least = math.MinInt64
			}
			if k.most<<1 == 0 {
				k.most = 0
			}
		}
		least = binary.LittleEndian.AppendUint64(nil, uint64(k.least))[:c.Width]
		most = binary.LittleEndian.AppendUint64(nil, uint64(k.most))[:c.Width]
	}
	t.Binary(5, most)
	t.Binary(6, least)
	t.Bool(7, true)
	t.Bool(8, true)
}
