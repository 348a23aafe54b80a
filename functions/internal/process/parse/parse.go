// Package parse turns the records of raw blocks into typed columns, cleaned as a dataset's pipeline says, and says of every
// record that does not become a row why.
//
// It works on chunks of some thousand records: first the fields of all records are found, then one column after the other is
// read in a loop of its own, then the records that are refused or filtered are taken out. Nothing is allocated per record
// that becomes a row; the columns are Arrow buffers from the start.
package parse

import (
	"bytes"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/record"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// maxBatch bounds the bytes of one batch: what the shortest records of a raw block can grow to.
const maxBatch = 64 << 20

// Pseudonyms makes the pseudonyms that stand for personal values.
type Pseudonyms interface {
	// Append appends the pseudonym of a value to dst. It may be called at once by several goroutines.
	Append(dst, value []byte) []byte
}

// Reject is a record that does not become a row. Its slices and strings are valid until the call that gets it returns.
type Reject struct {
	Original []byte // without the line end
	Ordinal  int64
	Reason   string
	Column   string // empty if the record as a whole is at fault
	Detail   string
	Day      string // of the event; empty if it cannot be read or lies outside the window

	row int
}

// Parser reads the blocks of one slice, in order. It is not safe for concurrent use.
type Parser struct {
	chunk

	format  dataset.Format
	schema  *arrow.Schema
	columns []*column
	ordinal fixed[int64] // of every row
	filters []func(row int) bool
	members members // of JSON objects
	drop    map[string]bool
	book    book
	next    int64 // the ordinal of the next record
	rows    int   // of the batch so far
}

// New compiles a dataset for one window. keys may be nil if no column is personal.
func New(d *dataset.Dataset, w window.Window, keys Pseudonyms) (*Parser, error) {
	p := &Parser{format: d.Collect.Format, schema: block.Schema(d), drop: map[string]bool{}}
	p.ordinal.kind = arrow.PrimitiveTypes.Int64
	for i, c := range d.Columns {
		col, err := compile(d, c, keys)
		if err != nil {
			return nil, err
		}
		col.at = i
		p.columns = append(p.columns, col)
		if c.Name == d.Collect.EventTime {
			p.book.event = col
		}
	}
	if p.book.event == nil {
		return nil, fmt.Errorf("%w: dataset %s has no event time column %q", events.ErrInvalid, d.Name, d.Collect.EventTime)
	}
	for _, f := range d.Process.Filters {
		match, err := p.filter(f)
		if err != nil {
			return nil, fmt.Errorf("%w: dataset %s: %w", events.ErrInvalid, d.Name, err)
		}
		p.filters = append(p.filters, match)
	}
	for _, name := range d.Process.Drop {
		p.drop[name] = true
	}
	p.book.from = w.Start.Add(-d.Collect.Lateness).UnixMicro()
	p.book.to = w.End.UnixMicro()
	p.book.days = map[int64]*events.Counts{}
	p.shape(len(p.columns))
	return p, nil
}

// Block reads the records of a raw block from offset skip on as one batch, and hands each record that is refused to refuse,
// in order. The batch and its buffers are valid until the next call. What lies between the length and the capacity of data may be overwritten.
func (p *Parser) Block(data []byte, skip int, refuse func(Reject) error) (arrow.RecordBatch, error) {
	p.text, p.block, p.rows = data, len(data), 0
	p.dirty = bytes.IndexByte(data, 0) >= 0 || !utf8.Valid(data)
	s := record.Scan(p.format, data, false)
	s.Skip(skip)
	for more := true; more; {
		p.n, p.text, p.whole = 0, p.text[:p.block], true
		for more && p.n < len(p.records) {
			if start, end := s.Lines(); end > start && p.format.Kind != record.NDJSON && !p.dirty {
				s.Skip(p.lines(start, end))
			} else if more = s.Next(); more {
				p.add(s)
			}
		}
		if err := p.flush(refuse); err != nil {
			return nil, err
		}
	}
	arrays := make([]arrow.Array, 0, len(p.columns)+1)
	for _, c := range p.columns {
		arrays = append(arrays, c.finish(p.rows))
	}
	return array.NewRecordBatch(p.schema, append(arrays, p.ordinal.finish(p.rows)), int64(p.rows)), nil
}

// TooLong counts a record that is longer than a block, and returns why it is refused.
func (p *Parser) TooLong(start []byte, length int64) Reject {
	p.book.unknown.Read++
	p.book.unknown.Quarantined++
	p.next++
	return Reject{
		Original: start, Ordinal: p.next - 1, Reason: "record_too_long",
		Detail: fmt.Sprintf("the record has %d bytes, more than a block of %d; its first %d are kept here, all of it in the raw blocks", length, block.MaxRaw, len(start)),
	}
}

// Sheet is the balance of all records so far. Stored counts the rows that are passed on.
func (p *Parser) Sheet() events.Sheet { return p.book.sheet() }

// add finds the fields of the scanner's record.
func (p *Parser) add(s *record.Scanner) {
	i := p.n
	p.n++
	p.records[i] = span{s.Start, s.End}
	p.state[i] = passed
	out := p.fields[i*p.stride : (i+1)*p.stride]
	switch {
	case p.dirty && !p.clean(i):
		clear(out)
		return
	case p.format.Kind == record.NDJSON:
		p.object(i, out)
		return
	case s.Flaw != record.Sound:
		clear(out)
		p.refuse(i, nil, flaws[s.Flaw].reason, flaws[s.Flaw].detail)
		return
	}
	var n int
	var ok bool
	if p.text, n, ok = unquote(p.text, s.Start, s.End, p.format, out); !ok {
		clear(out)
		p.refuse(i, nil, "bad_quote", "a quote stands inside a field that does not begin with one; put the field in quotes and double the quote")
	} else if n != p.stride {
		p.ragged(i, n)
	}
}

func (k *chunk) ragged(i, n int) {
	clear(k.fields[i*k.stride : (i+1)*k.stride])
	k.refuse(i, nil, "ragged", fmt.Sprintf("the record has %d fields, not %d", n, k.stride))
}

var flaws = map[record.Flaw]struct{ reason, detail string }{
	record.Unterminated: {"unterminated_quote", "a quoted field does not end on this line, nor well on a later one; the next record was read from the next line"},
	record.BadQuote:     {"bad_quote", "a closing quote is followed by neither a delimiter nor the end of the line; double quotes inside a quoted field"},
}

// clean refuses a record that holds a NUL byte or is not UTF-8.
func (p *Parser) clean(i int) bool {
	rec := p.text[p.records[i].start:p.records[i].end]
	if at := bytes.IndexByte(rec, 0); at >= 0 {
		p.refuse(i, p.columnAt(rec[:at]), "nul", fmt.Sprintf("byte %d of the record is NUL", at))
		return false
	}
	for at := 0; at < len(rec); {
		r, size := utf8.DecodeRune(rec[at:])
		if r == utf8.RuneError && size <= 1 {
			p.refuse(i, p.columnAt(rec[:at]), "invalid_utf8", fmt.Sprintf("byte %d of the record, %#02x, is not UTF-8; convert the file to UTF-8", at, rec[at]))
			return false
		}
		at += size
	}
	return true
}

// columnAt is the column whose field holds what follows the given start of a CSV record without quotes, or nil.
func (p *Parser) columnAt(start []byte) *column {
	if p.format.Kind == record.NDJSON || p.format.Quote != 0 && bytes.IndexByte(start, p.format.Quote) >= 0 {
		return nil
	}
	n := bytes.Count(start, []byte{p.format.Delimiter})
	for _, c := range p.columns {
		if c.at == n {
			return c
		}
	}
	return nil
}

// flush turns the records of the chunk into rows of the batch.
func (p *Parser) flush(refuse func(Reject) error) error {
	if p.n == 0 {
		return nil
	}
	for _, c := range p.columns {
		c.load(&p.chunk, c, p.rows)
	}
	for _, match := range p.filters {
		for i, s := range p.state[:p.n] {
			if s != filtered && match(i) {
				p.state[i] = filtered
				p.whole = false
			}
		}
	}
	p.require()
	p.book.enter(p)
	if err := p.reject(refuse); err != nil {
		return err
	}
	kept := p.keep()
	size := 0
	for _, c := range p.columns {
		if c.keys != nil {
			c.hide(p.rows, p.rows+kept)
		}
		size += c.size(p.rows + kept)
	}
	p.rows += kept
	p.next += int64(p.n)
	if size > maxBatch {
		return fmt.Errorf("%w: the rows of one raw block take more than %d bytes: its records are too short for so many columns and defaults", events.ErrInvalid, maxBatch)
	}
	return nil
}

// require refuses rows without a value that they need.
func (p *Parser) require() {
	for _, c := range p.columns {
		if !c.key && (!c.lacking() || !c.Required && c != p.book.event) {
			continue
		}
		for i := range p.n {
			if p.state[i] == passed && c.lacks(p.rows+i, c.key) {
				p.refuse(i, c, "missing", "the column is required, and the record has no value for it")
			}
		}
	}
}

// reject hands over the refused records of the chunk.
func (p *Parser) reject(refuse func(Reject) error) error {
	slices.SortFunc(p.rejects, func(a, b Reject) int { return a.row - b.row })
	for _, r := range p.rejects {
		if p.state[r.row] != refused {
			continue
		}
		at := p.records[r.row]
		r.Original, r.Ordinal = p.text[at.start:at.end:at.end], p.next+int64(r.row)
		r.Day = p.book.day(p, r.row)
		if err := refuse(r); err != nil {
			return err
		}
	}
	p.rejects = p.rejects[:0]
	return nil
}

// keep takes refused and filtered records out of the columns, numbers the rest, and counts it.
func (p *Parser) keep() int {
	if p.whole {
		for i, out := 0, p.ordinal.room(p.rows, p.n); i < len(out); i++ {
			out[i] = p.next + int64(i)
		}
		return p.n
	}
	p.kept = p.kept[:0]
	for i, s := range p.state[:p.n] {
		if s == passed {
			p.kept = append(p.kept, int32(i))
		}
	}
	for _, c := range p.columns {
		c.compact(p.rows, p.kept)
	}
	out := p.ordinal.room(p.rows, len(p.kept))
	for i, row := range p.kept {
		out[i] = p.next + int64(row)
	}
	return len(p.kept)
}
