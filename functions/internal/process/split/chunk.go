// Package split finds the fields of records, chunk by chunk: of CSV between delimiters and quotes, of NDJSON by their keys.
// A field is a pair of offsets, so that nothing is copied but texts that have to be unescaped.
package split

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/record"
)

// Kind says what a field is.
type Kind uint32

// The kinds of a field. Zero is a field that is not there.
const (
	Absent Kind = iota << kindShift
	Bare        // unquoted CSV
	Quoted      // a text: quoted CSV, or a JSON string
	Number      // a JSON number
	Truth       // true or false in JSON
	Null        // null in JSON
	Nested      // an object or array in JSON

	kindShift = 28
	offset    = 1<<kindShift - 1
)

// Ref is a field: a range of bytes of the chunk's text, and its kind in the upper bits of the start.
type Ref struct{ start, end uint32 }

// Kind says what the field is.
func (f Ref) Kind() Kind { return Kind(f.start &^ offset) }

// Start is the offset of the first byte in the chunk's text.
func (f Ref) Start() int { return int(f.start & offset) }

// End is the offset after the last byte.
func (f Ref) End() int { return int(f.end) }

func ref(start int, kind Kind, end int) Ref { return Ref{uint32(start) | uint32(kind), uint32(end)} }

// Flaw says why the fields of a record cannot be found. They are all absent then.
type Flaw struct {
	Record int // of the chunk
	Field  int // the index of the field at fault; -1 if the record as a whole is
	Reason string
	Detail string
}

// span is the place of a record in the text, without its line end.
type span struct{ start, end int }

// Chunk is the records that are looked at in one go, some hundreds or thousands.
type Chunk struct {
	N      int    // number of records
	Stride int    // fields of each record
	Fields []Ref  // those of record i from i × Stride on
	Text   []byte // the block, and behind it what had to be unescaped
	Flaws  []Flaw // at most one for each record, in their order

	format  dataset.Format
	block   int  // the length of the block
	dirty   bool // the block holds a NUL byte or is not UTF-8
	records []span
	scanner *record.Scanner
	objects objects
}

// New makes a chunk for the records of a format. names are those of the fields: the keys of objects, of which dropped ones
// are passed over; in CSV the fields of a record stand in their order.
func New(f dataset.Format, names, dropped []string) *Chunk {
	const most = 8192 // fields: about what stays close to the processor
	n := min(max(most/max(len(names), 1), 16), 2048)
	c := &Chunk{format: f, Stride: len(names), Fields: make([]Ref, n*len(names)), records: make([]span, n)}
	if f.Kind == record.NDJSON {
		c.objects = newObjects(names, dropped)
	}
	return c
}

// Start begins with a block, at offset skip. What lies between the length and the capacity of the block may be overwritten.
func (c *Chunk) Start(block []byte, skip int) {
	c.Text, c.block = block, len(block)
	c.dirty = bytes.IndexByte(block, 0) >= 0 || !utf8.Valid(block)
	c.scanner = record.Scan(c.format, block, false)
	c.scanner.Skip(skip)
}

// Next goes to the next records, and says whether there are any.
func (c *Chunk) Next() bool {
	c.N, c.Text, c.Flaws = 0, c.Text[:c.block], c.Flaws[:0]
	lines := c.format.Kind != record.NDJSON && !c.dirty
	for c.N < len(c.records) {
		if lines {
			if start, end := c.scanner.Lines(); end > start {
				c.scanner.Skip(c.lines(start, end))
				continue
			}
		}
		if !c.scanner.Next() {
			break
		}
		c.add()
	}
	return c.N > 0
}

// Most is the number of records that N does not exceed.
func (c *Chunk) Most() int { return len(c.records) }

// Record is the bytes of record i, without the line end.
func (c *Chunk) Record(i int) []byte {
	at := c.records[i]
	return c.Text[at.start:at.end:at.end]
}

// Width is the number of bytes that all fields of the chunk have at most.
func (c *Chunk) Width() int {
	return c.records[c.N-1].end - c.records[0].start + len(c.Text) - c.block
}

// row is the fields of record i.
func (c *Chunk) row(i int) []Ref { return c.Fields[i*c.Stride : (i+1)*c.Stride] }

// flaw says why record i has no fields.
func (c *Chunk) flaw(i, field int, reason, detail string) {
	clear(c.row(i))
	c.Flaws = append(c.Flaws, Flaw{i, field, reason, detail})
}

// add finds the fields of the scanner's record.
func (c *Chunk) add() {
	s, i := c.scanner, c.N
	c.N++
	c.records[i] = span{s.Start, s.End}
	switch {
	case c.dirty && !c.clean(i):
	case c.format.Kind == record.NDJSON:
		c.object(i)
	case s.Flaw == record.Unterminated:
		c.flaw(i, -1, "unterminated_quote", "a quoted field does not end on this line, nor well on a later one; the next record was read from the next line")
	case s.Flaw == record.BadQuote:
		c.flaw(i, -1, "bad_quote", "a closing quote is followed by neither a delimiter nor the end of the line; double quotes inside a quoted field")
	default:
		text, n, ok := unquote(c.Text, c.records[i], c.format, c.row(i))
		c.Text = text
		if !ok {
			c.flaw(i, -1, "bad_quote", "a quote stands inside a field that does not begin with one; put the field in quotes and double the quote")
		} else if n != c.Stride {
			c.ragged(i, n)
		}
	}
}

func (c *Chunk) ragged(i, n int) {
	c.flaw(i, -1, "ragged", fmt.Sprintf("the record has %d fields, not %d", n, c.Stride))
}

// clean looks for a NUL byte in record i, and whether it is UTF-8.
func (c *Chunk) clean(i int) bool {
	rec := c.Record(i)
	if at := bytes.IndexByte(rec, 0); at >= 0 {
		c.flaw(i, c.fieldAt(rec[:at]), "nul", fmt.Sprintf("byte %d of the record is NUL", at))
		return false
	}
	for at := 0; at < len(rec); {
		r, size := utf8.DecodeRune(rec[at:])
		if r == utf8.RuneError && size <= 1 {
			c.flaw(i, c.fieldAt(rec[:at]), "invalid_utf8", fmt.Sprintf("byte %d of the record, %#02x, is not UTF-8; convert the file to UTF-8", at, rec[at]))
			return false
		}
		at += size
	}
	return true
}

// fieldAt is the field of a CSV record without quotes that goes on behind the given start, or -1.
func (c *Chunk) fieldAt(start []byte) int {
	if c.format.Kind == record.NDJSON || c.format.Quote != 0 && bytes.IndexByte(start, c.format.Quote) >= 0 {
		return -1
	}
	return bytes.Count(start, []byte{c.format.Delimiter})
}
