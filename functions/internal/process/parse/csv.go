package parse

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"

	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/record"
)

// lines finds the fields of the records in text[at:end], which are whole lines without a quote, until the chunk is full.
// It returns the offset at which the next record starts. Eight bytes are looked at in one go.
func (p *Parser) lines(at, end int) int {
	const ones, newlines = 0x0101010101010101, 0x0a0a0a0a0a0a0a0a
	delimiters := uint64(p.format.Delimiter) * ones
	l := line{chunk: &p.chunk, start: at, field: at, next: p.n * p.stride, limit: (p.n + 1) * p.stride}
	for w := at; w < end; w += 8 {
		var x uint64
		if w+8 <= len(p.text) {
			x = binary.LittleEndian.Uint64(p.text[w:])
		} else {
			x = tail(p.text[w:])
		}
		found := zeros(x^delimiters) | zeros(x^newlines)
		if w+8 > end {
			found &= 1<<(8*(end-w)) - 1
		}
		for ; found != 0; found &= found - 1 {
			pos := w + bits.TrailingZeros64(found)>>3
			if l.next < l.limit {
				p.fields[l.next] = ref{uint32(l.field) | bare, uint32(pos)}
			}
			l.next++
			l.field = pos + 1
			if p.text[pos] == '\n' && l.end(pos) {
				return pos + 1
			}
		}
	}
	if l.start < end { // the last line of the block has no newline
		if l.next < l.limit {
			p.fields[l.next] = ref{uint32(l.field) | bare, uint32(end)}
		}
		l.next++
		l.end(end)
	}
	return end
}

// zeros sets the upper bit of each byte of x that is zero.
func zeros(x uint64) uint64 {
	const low = 0x7f7f7f7f7f7f7f7f
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
	*chunk
	start       int // of the line
	field       int // start of the next field
	next, limit int // index of the next field, and of the first that belongs to the next record
}

// end ends the line at offset pos, and says whether the chunk is full.
func (l *line) end(pos int) bool {
	stop := pos
	if stop > l.start && l.text[stop-1] == '\r' {
		stop--
		if l.next <= l.limit {
			l.fields[l.next-1].end--
		}
	}
	if stop > l.start {
		i := l.n
		l.n++
		l.records[i], l.state[i] = span{l.start, stop}, passed
		if l.next != l.limit {
			l.ragged(i, l.next-(l.limit-l.stride))
		}
		l.limit += l.stride
	}
	l.next, l.start = l.limit-l.stride, pos+1
	return l.n == len(l.records)
}

// unquote finds the fields of the record text[at:end], which the scanner found sound. It returns how many there are, and
// writes those that out has room for; fields with doubled quotes are written anew behind text. It returns false if a quote
// stands in a field that does not begin with one.
func unquote(text []byte, at, end int, f dataset.Format, out []ref) ([]byte, int, bool) {
	for n := 0; ; n++ {
		start, kind := at, bare
		if at < end && text[at] == f.Quote && f.Quote != 0 {
			kind = quoted
			at++
			doubled := false
			for start = at; ; at += 2 {
				at += bytes.IndexByte(text[at:end], f.Quote)
				if at+1 >= end || text[at+1] != f.Quote {
					break
				}
				doubled = true
			}
			stop := at
			at++
			if doubled {
				from := len(text)
				for ; start < stop; start++ {
					text = append(text, text[start])
					if text[start] == f.Quote {
						start++
					}
				}
				start, stop = from, len(text)
			}
			if n < len(out) {
				out[n] = ref{uint32(start) | kind, uint32(stop)}
			}
		} else {
			for at < end && text[at] != f.Delimiter {
				if text[at] == f.Quote && f.Quote != 0 {
					return text, n, false
				}
				at++
			}
			if n < len(out) {
				out[n] = ref{uint32(start) | kind, uint32(at)}
			}
		}
		if at >= end {
			return text, n + 1, true
		}
		at++
	}
}

// Mismatch says that a file is not of the form that the contract and the pipeline describe.
type Mismatch struct{ Reason, Detail string }

func (m *Mismatch) Error() string { return m.Detail }

// Header takes the header record of the CSV file that the next blocks lie in. The error is a *Mismatch.
func (p *Parser) Header(header []byte) error {
	names, err := p.names(header)
	if err != nil {
		return err
	}
	for i, name := range names {
		if j := slices.Index(names, name); j < i {
			return &Mismatch{"duplicate_column", fmt.Sprintf("the header names the column %q twice, as fields %d and %d: rename one of them in the file", name, j+1, i+1)}
		}
		known := slices.ContainsFunc(p.columns, func(c *column) bool { return c.Source == name })
		if !known && !p.drop[name] {
			return &Mismatch{"unknown_column", fmt.Sprintf("the header names the column %q, which the contract does not have: declare it in contract.yaml, say under process.rename in pipeline.yaml which column it is, or list it there under process.drop", name)}
		}
	}
	for _, c := range p.columns {
		c.at = slices.Index(names, c.Source)
		if c.at < 0 && c.Default == nil {
			return &Mismatch{"missing_column", fmt.Sprintf("the header has no column %q, which line %d of contract.yaml needs: add it to the file, say under process.rename in pipeline.yaml how it is called there, or give it a value under process.defaults", c.Source, c.Line)}
		}
	}
	p.shape(len(names))
	return nil
}

func (p *Parser) names(header []byte) ([]string, error) {
	out := make([]ref, bytes.Count(header, []byte{p.format.Delimiter})+1)
	text, n, ok := header, 0, false
	if s := record.Scan(p.format, header, false); s.Next() && s.Flaw == record.Sound && s.End == len(header) {
		text, n, ok = unquote(slices.Clip(header), s.Start, s.End, p.format, out)
	}
	if !ok {
		return nil, &Mismatch{"bad_header", fmt.Sprintf("the first record, the header, cannot be read: its quotes (%q) are wrong", p.format.Quote)}
	}
	names := make([]string, n)
	for i, f := range out[:n] {
		names[i] = string(trim(text[f.start&offset : f.end]))
	}
	return names, nil
}
