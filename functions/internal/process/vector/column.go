// Package vector reads the fields of one column, chunk by chunk, as the values of an Arrow array.
package vector

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/process/field"
	"github.com/almanac-data/almanac/functions/internal/process/split"
)

// Pseudonyms makes the pseudonyms that stand for personal values, for one slice at a time.
type Pseudonyms interface {
	// Append appends the pseudonym of each value to dst, in order. All have PseudonymBytes bytes, and equal values have equal ones.
	Append(ctx context.Context, dst []byte, values [][]byte) ([]byte, error)
}

// PseudonymBytes is the length of each pseudonym: that of 32 bytes in hexadecimal digits.
const PseudonymBytes = 64

// Column is one column of the contract with the values of the batch so far.
type Column struct {
	dataset.Column
	vector

	// At is the index of the column's field in a record; -1 if the file has none.
	At int

	trim   bool // ASCII white space around values
	key    bool // a text of the primary key, which must not be empty
	nulls  [][]byte
	keys   Pseudonyms // of the slice; nil unless the column is personal
	plain  [][]byte   // memory for the values that are hidden
	refuse Refuse
}

// Refuse is told why a record of the chunk cannot become a row.
type Refuse func(c *Column, record int, reason, detail string)

// vector holds the values of a column.
type vector interface {
	// Load reads the fields of a chunk as the values from row base on.
	Load(k *split.Chunk, base int)
	// Keep keeps the given values of those from row base on.
	Keep(base int, rows []int32)
	// Finish returns the first n values as an Arrow array over the vector's memory, which is valid until row 0 is loaded again.
	Finish(n int) arrow.Array
	// IsNull says whether a value is null, or could not be read.
	IsNull(row int) bool
	// Size is the number of bytes that the first n values take at most.
	Size(n int) int
	// nullable says whether any value is null.
	nullable() bool
	// order compares the values with one.
	order(value string) (func(row int) int, bool)
}

// New makes a column of a dataset ready to be read. keys may be nil if it is not personal.
func New(d *dataset.Dataset, c dataset.Column, keys Pseudonyms, refuse Refuse) (*Column, error) {
	col := &Column{Column: c, trim: d.Process.Trim, refuse: refuse}
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

// MayMiss says whether any value of the batch may be missing: null, or empty in a text of the key.
func (c *Column) MayMiss() bool { return c.key || c.nullable() }

// Misses says whether a value is missing.
func (c *Column) Misses(row int) bool {
	return c.IsNull(row) || c.key && len(c.vector.(*texts).get(row)) == 0
}

// Order returns what compares the values of the column with one: negative, zero or positive.
func (c *Column) Order(value string) (func(row int) int, error) {
	order, ok := c.order(value)
	if !ok {
		return nil, fmt.Errorf("%q is not a value of type %s", value, c.Type)
	}
	return order, nil
}

// text is the text of the column's field of record i after cleaning, and its kind: split.Null if there is none.
func (c *Column) text(k *split.Chunk, i int) ([]byte, split.Kind) {
	var v []byte
	kind := split.Null
	if c.At >= 0 {
		f := k.Fields[i*k.Stride+c.At]
		v, kind = k.Text[f.Start():f.End()], f.Kind()
	}
	if c.trim && (kind == split.Bare || kind == split.Quoted) {
		v = bytes.Trim(v, " \t\n\v\f\r")
	}
	switch kind {
	case split.Absent:
		kind = split.Null
	case split.Bare, split.Quoted:
		if len(v) == 0 && (kind == split.Bare || c.Type != dataset.String) || c.isNull(v) {
			kind = split.Null
		}
	default:
	}
	if kind == split.Null && c.Default != nil {
		return []byte(*c.Default), split.Quoted
	}
	return v, kind
}

func (c *Column) isNull(v []byte) bool {
	for _, n := range c.nulls {
		if bytes.Equal(n, v) {
			return true
		}
	}
	return false
}

// fault refuses record i because a value is not one of the column's type.
func (c *Column) fault(i int, f field.Fault, v []byte) {
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
	c.refuse(c, i, reason, c.show(v)+" "+what)
}

var forms = map[dataset.Type]string{
	dataset.String: "a text", dataset.Integer: "an integer of 64 bits", dataset.Number: "a number", dataset.Decimal: "a decimal number",
	dataset.Boolean: "true or false", dataset.Date: "a date", dataset.Timestamp: "a timestamp",
}

// show is a value as a person reads it, cut where it is long.
func (c *Column) show(v []byte) string {
	const most = 64
	if c.Personal() {
		return "the value (personal, not shown)"
	}
	if len(v) <= most {
		return fmt.Sprintf("%q", v)
	}
	cut := most
	for cut > most-utf8.UTFMax && !utf8.RuneStart(v[cut]) {
		cut--
	}
	return fmt.Sprintf("%q… (%d bytes)", v[:cut], len(v))
}
