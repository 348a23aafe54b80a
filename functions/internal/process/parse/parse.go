// Package parse turns the records of raw blocks into typed rows, cleaned as a dataset's pipeline says, and says of every
// record that does not become a row why.
//
// It works on chunks of some thousand records: first the fields of all records are found (package split), then one column
// after the other is read in a loop of its own (package vector), then the records that are refused or filtered are taken
// out. Nothing is allocated per record that becomes a row; the columns are Arrow buffers from the start.
package parse

import (
	"context"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/process/split"
	"github.com/almanac-data/almanac/functions/internal/process/vector"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// maxBatch bounds the bytes of one batch, which travels as one record of Kafka. CSV grows to a third of it at most; defaults
// and columns that objects leave out can take any space.
const maxBatch = 24 << 20

// Reject is a record that does not become a row. Its slices are valid until the call that gets it returns. The reasons:
//
//	ragged                     another number of fields than the header, or the contract without a header, has
//	unterminated_quote         a quoted field without an end
//	bad_quote                  a quote where none may stand
//	json                       not one JSON object
//	unknown_column             a key that neither the contract nor process.drop names
//	duplicate_field            a key twice
//	nul, invalid_utf8          a NUL character, or not UTF-8
//	missing                    no value where one is required, in the event time, or in a text of the primary key
//	type                       not a value of the column's type and formats
//	overflow                   too large or too precise for the column's type
//	event_time_outside_window  before the window's start less the lateness, or not before its end
//	record_too_long            longer than a raw block
type Reject struct {
	Original []byte // without the line end
	Ordinal  int64
	Reason   string
	Column   string // empty if the record as a whole is at fault
	Detail   string
	Day      string // of the event; empty if it cannot be read or lies outside the window

	record int // of the chunk
}

// What becomes of a record.
const (
	passed uint8 = iota
	refused
	filtered
)

// Parser reads the blocks of one slice, in order. It is not safe for concurrent use.
type Parser struct {
	format  dataset.Format
	drop    []string
	schema  *arrow.Schema
	columns []*vector.Column
	ordinal vector.Ordinals
	filters []func(record int) bool
	book    book

	names   []string // of the fields of the chunk,
	dropped []string // and those that are passed over
	chunk   *split.Chunk
	state   []uint8  // of the records of the chunk
	whole   bool     // they all have passed so far
	rejects []Reject // at most one for each of them
	kept    []int32  // those that passed
	rows    int      // of the batch, before the chunk
	next    int64    // the ordinal of the chunk's first record
}

// New compiles a dataset for one window. keys may be nil if no column is personal.
func New(d *dataset.Dataset, w window.Window, keys vector.Pseudonyms) (*Parser, error) {
	p := &Parser{format: d.Collect.Format, schema: block.Schema(d), drop: d.Process.Drop, book: newBook(d, w)}
	for _, c := range d.Columns {
		col, err := vector.New(d, c, keys, p.refuse)
		if err != nil {
			return nil, err
		}
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
			return nil, fmt.Errorf("%w: dataset %s: filter on %s: %w", events.ErrInvalid, d.Name, f.Column, err)
		}
		p.filters = append(p.filters, match)
	}
	p.place()
	return p, nil
}

// place says that the fields of records are the columns, in their order.
func (p *Parser) place() {
	names := make([]string, len(p.columns))
	for i, c := range p.columns {
		c.At, names[i] = i, c.Source
	}
	p.fields(names, p.drop)
}

// fields makes ready for records of named fields.
func (p *Parser) fields(names, drop []string) {
	if p.chunk != nil && slices.Equal(names, p.names) && slices.Equal(drop, p.dropped) {
		return
	}
	p.names, p.dropped = names, drop
	p.chunk = split.New(p.format, names, drop)
	p.state = make([]uint8, p.chunk.Most())
}

// Reset makes the parser ready for another slice of the dataset, in the memory that it has.
func (p *Parser) Reset(d *dataset.Dataset, w window.Window, keys vector.Pseudonyms) {
	for _, c := range p.columns {
		c.For(keys)
	}
	event := p.book.event
	p.book = newBook(d, w)
	p.book.event = event
	p.rejects, p.rows, p.next = p.rejects[:0], 0, 0
	if !p.format.Header {
		p.place()
	}
}

// Forget drops what belongs to the slice that is done.
func (p *Parser) Forget() {
	for _, c := range p.columns {
		c.For(nil)
	}
}

// Block reads the records of a raw block from offset skip on as one batch, and hands each record that is refused to refuse,
// in order. The batch and its buffers are valid until the next call. What lies between the length and the capacity of data
// may be overwritten.
func (p *Parser) Block(ctx context.Context, data []byte, skip int, refuse func(Reject) error) (arrow.RecordBatch, error) {
	p.rows = 0
	for p.chunk.Start(data, skip); p.chunk.Next(); {
		if err := p.take(ctx, refuse); err != nil {
			return nil, err
		}
	}
	arrays := make([]arrow.Array, 0, len(p.columns)+1)
	for _, c := range p.columns {
		arrays = append(arrays, c.Finish(p.rows))
	}
	p.ordinal.Room(p.rows, 0)
	return array.NewRecordBatch(p.schema, append(arrays, p.ordinal.Finish(p.rows)), int64(p.rows)), nil
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

// take turns the records of the chunk into rows of the batch.
func (p *Parser) take(ctx context.Context, refuse func(Reject) error) error {
	n := p.chunk.N
	clear(p.state[:n])
	p.whole = true
	for _, f := range p.chunk.Flaws {
		p.refuse(p.columnAt(f.Field), f.Record, f.Reason, f.Detail)
	}
	for _, c := range p.columns {
		c.Load(p.chunk, p.rows)
	}
	for _, match := range p.filters {
		for i, s := range p.state[:n] {
			if s != filtered && match(i) {
				p.state[i], p.whole = filtered, false
			}
		}
	}
	p.require()
	p.book.enter(p)
	if err := p.reject(refuse); err != nil {
		return err
	}
	kept, size := p.keep(), 0
	for _, c := range p.columns {
		if err := c.Hide(ctx, p.rows, p.rows+kept); err != nil {
			return err
		}
		size += c.Size(p.rows + kept)
	}
	p.rows += kept
	p.next += int64(n)
	if size > maxBatch {
		return &MismatchError{"rows_too_large", fmt.Sprintf("the rows of one raw block take more than %d bytes: "+
			"its records are too short for so many columns and defaults; shorten process.defaults in pipeline.yaml, or take columns out of the contract", maxBatch)}
	}
	return nil
}

// columnAt is the column of a field, or nil.
func (p *Parser) columnAt(field int) *vector.Column {
	for _, c := range p.columns {
		if c.At == field && field >= 0 {
			return c
		}
	}
	return nil
}

// refuse gives the reason why a record of the chunk does not become a row; the first one stands.
func (p *Parser) refuse(c *vector.Column, record int, reason, detail string) {
	if p.state[record] == refused {
		return
	}
	p.state[record], p.whole = refused, false
	r := Reject{record: record, Reason: reason, Detail: detail}
	if c != nil {
		r.Column = c.Name
	}
	p.rejects = append(p.rejects, r)
}

// require refuses rows without a value that they need.
func (p *Parser) require() {
	for _, c := range p.columns {
		if !c.MayMiss() {
			continue
		}
		for i := range p.chunk.N {
			if p.state[i] == passed && c.Misses(p.rows+i) && (c.Required || c == p.book.event || !c.IsNull(p.rows+i)) {
				p.refuse(c, i, "missing", "the column is required, and the record has no value for it")
			}
		}
	}
}

// reject hands over the refused records of the chunk.
func (p *Parser) reject(refuse func(Reject) error) error {
	slices.SortFunc(p.rejects, func(a, b Reject) int { return a.record - b.record })
	for _, r := range p.rejects {
		if p.state[r.record] != refused {
			continue
		}
		r.Original, r.Ordinal = p.chunk.Record(r.record), p.next+int64(r.record)
		r.Day = p.book.day(p.rows, r.record)
		if err := refuse(r); err != nil {
			return err
		}
	}
	p.rejects = p.rejects[:0]
	return nil
}

// keep takes refused and filtered records out of the columns, and numbers and counts the rest.
func (p *Parser) keep() int {
	if p.whole {
		out := p.ordinal.Room(p.rows, p.chunk.N)
		for i := range out {
			out[i] = p.next + int64(i)
		}
		return len(out)
	}
	p.kept = p.kept[:0]
	for i, s := range p.state[:p.chunk.N] {
		if s == passed {
			p.kept = append(p.kept, int32(i))
		}
	}
	for _, c := range p.columns {
		c.Keep(p.rows, p.kept)
	}
	out := p.ordinal.Room(p.rows, len(p.kept))
	for i, record := range p.kept {
		out[i] = p.next + int64(record)
	}
	return len(p.kept)
}
