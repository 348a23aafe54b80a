package parse

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/process/field"
)

// column is one column of the contract with the values of the batch so far.
type column struct {
	dataset.Column
	vector

	at    int  // of its field in a record; -1 if the file has none
	trim  bool // ASCII white space around values
	key   bool // a text of the primary key, which must not be empty
	nulls [][]byte
	keys  Pseudonyms // nil unless the column is personal
}

// vector holds the values of a column.
type vector interface {
	// load reads the fields of a chunk as the values from row base on.
	load(k *chunk, c *column, base int)
	// compact keeps the given values of those from row base on.
	compact(base int, rows []int32)
	// finish returns the first n values as an Arrow array over the vector's memory.
	finish(n int) arrow.Array
	// lacks says whether a value is null, or empty where it must not be.
	lacks(row int, empty bool) bool
	// lacking says whether lacks may be true of a row without empty texts.
	lacking() bool
	// size is the number of bytes of the first n values.
	size(n int) int
}

// compile makes a column ready to be read.
func compile(d *dataset.Dataset, c dataset.Column, keys Pseudonyms) (*column, error) {
	col := &column{Column: c, trim: d.Process.Trim}
	for _, s := range d.Collect.Format.Null {
		col.nulls = append(col.nulls, []byte(s))
	}
	if c.Personal() {
		if keys == nil || c.Type != dataset.String {
			return nil, fmt.Errorf("%w: column %s of %s is personal: it needs a key for its pseudonyms, and must be a string", events.ErrInvalid, c.Name, d.Name)
		}
		col.keys = keys
	}
	clock := field.NewClock(c.Formats, d.Process.Location)
	switch c.Type {
	case dataset.Integer:
		col.vector = &integers{newFixed(col, field.Int)}
	case dataset.Number:
		col.vector = newFixed(col, field.Float)
	case dataset.Decimal:
		col.vector = newFixed(col, field.Decimal(c.Precision, c.Scale))
	case dataset.Boolean:
		col.vector = newFixed(col, field.Bool)
	case dataset.Date:
		col.vector = newFixed(col, clock.Date)
	case dataset.Timestamp:
		col.vector = &stamps{newFixed(col, clock.Timestamp), clock}
	case dataset.String:
		col.key = slices.Contains(d.Key, c.Name)
		col.vector = newTexts(col)
	default:
		return nil, fmt.Errorf("%w: column %s of %s has the unknown type %q", events.ErrInvalid, c.Name, d.Name, c.Type)
	}
	return col, nil
}

// value is the text of a field after cleaning, and its kind: null if there is none.
func (c *column) value(k *chunk, f ref) ([]byte, uint32) {
	v, kind := k.text[f.start&offset:f.end], f.kind()
	if kind <= quoted && c.trim {
		v = trim(v)
	}
	switch kind {
	case absent:
		kind = null
	case bare, quoted:
		if len(v) == 0 && (kind == bare || c.Type != dataset.String) || c.isNull(v) {
			kind = null
		}
	}
	if kind == null {
		if c.Default == nil {
			return nil, null
		}
		return []byte(*c.Default), quoted
	}
	return v, kind
}

func (c *column) isNull(v []byte) bool {
	for _, n := range c.nulls {
		if bytes.Equal(n, v) {
			return true
		}
	}
	return false
}

// trim removes ASCII white space from both ends.
func trim(v []byte) []byte {
	for len(v) > 0 && white(v[0]) {
		v = v[1:]
	}
	for len(v) > 0 && white(v[len(v)-1]) {
		v = v[:len(v)-1]
	}
	return v
}

func white(c byte) bool { return c == ' ' || c-'\t' <= '\r'-'\t' }

// fault refuses record i because a value is not one of the column's type.
func (c *column) fault(k *chunk, i int, f field.Fault, v []byte) {
	reason, what := "type", "is not "+forms[c.Type]
	if c.Formats != nil {
		what += fmt.Sprintf(" of the form %q", c.Formats)
	}
	if f == field.Overflow {
		reason, what = "overflow", "does not fit "+forms[c.Type]
		if c.Type == dataset.Decimal {
			what = fmt.Sprintf("does not fit %d digits, %d of them after the point", c.Precision, c.Scale)
		}
	}
	k.refuse(i, c, reason, c.show(v)+" "+what)
}

var forms = map[dataset.Type]string{
	dataset.String: "a text", dataset.Integer: "an integer of 64 bits", dataset.Number: "a number", dataset.Decimal: "a decimal number",
	dataset.Boolean: "true or false", dataset.Date: "a date", dataset.Timestamp: "a timestamp",
}
