package parse

import (
	"encoding/binary"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/process/field"
)

// scalar is the Go form of a value of fixed size.
type scalar interface {
	int64 | float64 | int32 | bool | decimal128.Num
}

// fixed holds values of fixed size.
type fixed[T scalar] struct {
	kind    arrow.DataType
	read    func(v []byte) (T, field.Fault)
	careful bool // a text that stands for null can be read as a value
	values  []T
	missing flags
}

func newFixed[T scalar](c *column, read func([]byte) (T, field.Fault)) *fixed[T] {
	f := &fixed[T]{kind: block.ArrowType(c.Column), read: read}
	for _, n := range c.nulls {
		if _, fault := read(n); fault == field.Fine {
			f.careful = true
		}
	}
	return f
}

// room returns n values from row base on, to be written.
func (f *fixed[T]) room(base, n int) []T {
	f.values = slices.Grow(f.values[:base], n)[:base+n]
	f.missing.room(base, n)
	return f.values[base:]
}

func (f *fixed[T]) load(k *chunk, c *column, base int) {
	out := f.room(base, k.n)
	if c.at < 0 || f.careful {
		for i := range out {
			out[i] = f.slow(k, c, base, i)
		}
		return
	}
	fields := k.fields[c.at:]
	for i := range out {
		at := fields[i*k.stride]
		v, fault := f.read(k.text[at.start&offset : at.end])
		if fault != field.Fine {
			v = f.slow(k, c, base, i)
		}
		out[i] = v
	}
}

// slow reads a field that is not plainly a value.
func (f *fixed[T]) slow(k *chunk, c *column, base, i int) (zero T) {
	text, kind := []byte(nil), null
	if c.at >= 0 {
		text, kind = c.value(k, k.fields[i*k.stride+c.at])
	} else if c.Default != nil {
		text, kind = []byte(*c.Default), quoted
	}
	if kind == null {
		f.missing.set(base + i)
		return zero
	}
	v, fault := f.read(text)
	if fault != field.Fine {
		f.missing.set(base + i)
		c.fault(k, i, fault, text)
		return zero
	}
	return v
}

func (f *fixed[T]) compact(base int, rows []int32) {
	values := f.values[base:]
	for to, from := range rows {
		values[to] = values[from]
	}
	f.missing.compact(base, rows)
}

func (f *fixed[T]) lacks(row int, _ bool) bool { return f.missing.is(row) }

func (f *fixed[T]) size(n int) int { return 8 * n }

func (f *fixed[T]) lacking() bool { return f.missing.any }

// integers reads integers of up to eight characters without branches.
type integers struct{ *fixed[int64] }

func (f *integers) load(k *chunk, c *column, base int) {
	if c.at < 0 || f.careful {
		f.fixed.load(k, c, base)
		return
	}
	out, fields, text := f.room(base, k.n), k.fields[c.at:], k.text
	for i := range out {
		at := fields[i*k.stride]
		start, end := int(at.start&offset), int(at.end)
		if start+9 <= len(text) {
			minus := (int64(text[start]^'-') - 1) >> 63 // -1 if it is one
			start -= int(minus)
			if v, ok := field.Digits(binary.LittleEndian.Uint64(text[start:]), uint(end-start)); ok {
				out[i] = (v ^ minus) - minus
				continue
			}
		}
		v, fault := field.Int(text[at.start&offset : end])
		if fault != field.Fine {
			v = f.slow(k, c, base, i)
		}
		out[i] = v
	}
}

// stamps reads timestamps.
type stamps struct {
	*fixed[int64]
	clock *field.Clock
}

func (f *stamps) load(k *chunk, c *column, base int) {
	if c.at < 0 || f.careful {
		f.fixed.load(k, c, base)
		return
	}
	out, fields, text, clock := f.room(base, k.n), k.fields[c.at:], k.text, f.clock
	for i := range out {
		at := fields[i*k.stride]
		v, fault := clock.Timestamp(text[at.start&offset : at.end])
		if fault != field.Fine {
			v = f.slow(k, c, base, i)
		}
		out[i] = v
	}
}
