package split

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/record"
)

// ones has the lowest bit of each byte set.
const ones = 0x0101010101010101

// lines finds the fields of the records in Text[at:end], which are whole lines without a quote, until the chunk is full.
// It returns the offset at which the next record starts. Eight bytes are looked at in one go.
func (c *Chunk) lines(at, end int) int {
	delimiters := uint64(c.format.Delimiter) * ones
	text, fields := c.Text, c.Fields
	l := line{chunk: c, start: at, field: at, next: c.N * c.Stride, limit: (c.N + 1) * c.Stride}
	for w := at; w < end; w += 8 {
		var x uint64
		if w+8 <= len(text) {
			x = binary.LittleEndian.Uint64(text[w:])
		} else {
			x = tail(text[w:])
		}
		found := zeros(x^delimiters) | zeros(x^'\n'*ones)
		if w+8 > end {
			found &= 1<<(8*(end-w)) - 1
		}
		for ; found != 0; found &= found - 1 {
			pos := w + bits.TrailingZeros64(found)>>3
			if l.next < l.limit {
				fields[l.next] = ref(l.field, Bare, pos)
			}
			l.next++
			l.field = pos + 1
			if text[pos] == '\n' && l.end(pos) {
				return pos + 1
			}
		}
	}
	if l.start < end { // the last line of the block has no newline
		if l.next < l.limit {
			fields[l.next] = ref(l.field, Bare, end)
		}
		l.next++
		l.end(end)
	}
	return end
}

// zeros sets the upper bit of each byte of x that is zero.
func zeros(x uint64) uint64 {
	const low = 0x7f * ones
	return ^((x&low + low) | x | low)
}

// tail is the up to seven last bytes of a text, and zeros.
func tail(rest []byte) uint64 {
	var last [8]byte
	copy(last[:], rest)
	return binary.LittleEndian.Uint64(last[:])
}

// line is the place of lines.
type line struct {
	chunk       *Chunk
	start       int // of the line
	field       int // start of the next field
	next, limit int // index of the next field, and of the first that belongs to the next record
}

// end ends the line at offset pos, and says whether the chunk is full.
func (l *line) end(pos int) bool {
	c, stop := l.chunk, pos
	if stop > l.start && c.Text[stop-1] == '\r' {
		stop--
		if l.next <= l.limit {
			c.Fields[l.next-1].end--
		}
	}
	if stop > l.start { // not a blank line
		i := c.N
		c.N++
		c.records[i] = span{l.start, stop}
		if l.next != l.limit {
			c.ragged(i, l.next-(l.limit-c.Stride))
		}
		l.limit += c.Stride
	}
	l.next, l.start = l.limit-c.Stride, pos+1
	return c.N == len(c.records)
}

// unquote finds the fields of a record that the scanner found sound. It returns how many there are, and writes those that
// out has room for; fields with doubled quotes are written anew behind the text. It returns false if a quote stands in a
// field that does not begin with one.
func unquote(text []byte, rec span, f dataset.Format, out []Ref) ([]byte, int, bool) {
	at, end := rec.start, rec.end
	for n := 0; ; n++ {
		start, kind := at, Bare
		var stop int
		if at < end && text[at] == f.Quote && f.Quote != 0 {
			kind = Quoted
			text, start, stop, at = inner(text, at+1, end, f.Quote)
		} else {
			for at < end && text[at] != f.Delimiter {
				if text[at] == f.Quote && f.Quote != 0 {
					return text, n, false
				}
				at++
			}
			stop = at
		}
		if n < len(out) {
			out[n] = ref(start, kind, stop)
		}
		if at >= end {
			return text, n + 1, true
		}
		at++
	}
}

// inner finds the value of the quoted field whose content begins at offset at, and the offset behind the closing quote.
func inner(text []byte, at, end int, quote byte) (_ []byte, start, stop, behind int) {
	start = at
	doubled := false
	for ; ; at += 2 {
		at += max(bytes.IndexByte(text[at:end], quote), 0)
		if at+1 >= end || text[at+1] != quote {
			break
		}
		doubled = true
	}
	if !doubled {
		return text, start, at, at + 1
	}
	from := len(text)
	for i := start; i < at; i++ {
		text = append(text, text[i])
		if text[i] == quote {
			i++
		}
	}
	return text, from, len(text), at + 1
}

// Names splits the header record of a CSV file, and returns false if its quotes are wrong.
func Names(f dataset.Format, header []byte) ([]string, bool) {
	s := record.Scan(f, header, false)
	if !s.Next() || s.Flaw != record.Sound || s.End != len(header) {
		return nil, false
	}
	out := make([]Ref, bytes.Count(header, []byte{f.Delimiter})+1)
	text, n, ok := unquote(slices.Clip(header), span{s.Start, s.End}, f, out)
	names := make([]string, n)
	for i, field := range out[:n] {
		names[i] = string(text[field.Start():field.End()])
	}
	return names, ok
}
