package parse

import (
	"encoding/binary"

	"github.com/almanac-data/almanac/functions/internal/process/field"
)

// texts holds the values of a text column: value i is the bytes from offset i to offset i+1 of data.
type texts struct {
	lengths uint64 // bit n mod 64 says that a text that stands for null may have n bytes
	data    []byte
	offsets []int32
	missing flags
}

func newTexts(c *column) *texts {
	t := &texts{offsets: []int32{0}}
	for _, n := range c.nulls {
		t.lengths |= 1 << (len(n) & 63)
	}
	t.lengths |= 1 // an empty text may be null
	return t
}

func (t *texts) load(k *chunk, c *column, base int) {
	t.missing.room(base, k.n)
	t.offsets = grow(t.offsets, base+1, k.n)
	offsets := t.offsets[base+1:]
	data := t.data[:t.offsets[base]]
	data = grow(data, len(data), k.width()+8)[:len(data)]
	if c.at < 0 {
		for i := range offsets {
			data = t.slow(k, c, base, i, data)
			offsets[i] = int32(len(data))
		}
		t.data = data
		return
	}
	fields, source, lengths := k.fields[c.at:], k.text, t.lengths
	for i := range offsets {
		at := fields[i*k.stride]
		start, end := int(at.start&offset), int(at.end)
		size := end - start
		switch {
		case at.kind()-bare > quoted-bare || lengths>>(size&63)&1 != 0 || c.trim && (source[start] <= ' ' || source[end-1] <= ' '):
			data = t.slow(k, c, base, i, data)
		case size <= 8 && start+8 <= len(source) && len(data)+8 <= cap(data):
			n := len(data)
			data = data[:n+8]
			binary.LittleEndian.PutUint64(data[n:], binary.LittleEndian.Uint64(source[start:]))
			data = data[:n+size]
		default:
			data = append(data, source[start:end]...)
		}
		offsets[i] = int32(len(data))
	}
	t.data = data
}

// slow appends a field that is not plainly a text.
func (t *texts) slow(k *chunk, c *column, base, i int, data []byte) []byte {
	text, kind := []byte(nil), null
	if c.at >= 0 {
		text, kind = c.value(k, k.fields[i*k.stride+c.at])
	} else if c.Default != nil {
		text, kind = []byte(*c.Default), quoted
	}
	switch kind {
	case null:
		t.missing.set(base + i)
	case bare, quoted:
		return append(data, text...)
	default:
		t.missing.set(base + i)
		c.fault(k, i, field.Type, text)
	}
	return data
}

func (t *texts) get(row int) []byte { return t.data[t.offsets[row]:t.offsets[row+1]] }

func (t *texts) compact(base int, rows []int32) {
	to := t.offsets[base]
	for i, from := range rows {
		v := t.get(base + int(from))
		copy(t.data[to:], v)
		to += int32(len(v))
		t.offsets[base+i+1] = to
	}
	t.missing.compact(base, rows)
}

// hide replaces the values of rows [from, to) by pseudonyms.
func (c *column) hide(from, to int) {
	t := c.vector.(*texts)
	plain := append([]byte(nil), t.data[t.offsets[from]:t.offsets[to]]...)
	start := t.offsets[from]
	data := t.data[:start]
	at := 0
	for row := from; row < to; row++ {
		size := int(t.offsets[row+1]-start) - at
		if !t.missing.is(row) {
			data = c.keys.Append(data, plain[at:at+size])
		}
		at += size
		t.offsets[row+1] = int32(len(data))
	}
	t.data = data
}

func (t *texts) lacks(row int, empty bool) bool {
	return t.missing.is(row) || empty && t.offsets[row] == t.offsets[row+1]
}

func (t *texts) lacking() bool { return t.missing.any }

func (t *texts) size(n int) int { return 4*n + int(t.offsets[n]) }

func grow[T any](s []T, base, n int) []T {
	if cap(s) >= base+n {
		return s[:base+n]
	}
	wider := make([]T, base+n, 2*(base+n))
	copy(wider, s[:base])
	return wider
}
