package split

import (
	"encoding/binary"
	"math/bits"
)

// quick finds the fields of an object that has keys of the last object, in their order, some of which may be left out, and
// values without escapes or nesting. It returns false for any other record, good or bad, which the reader then reads.
func (c *Chunk) quick(rec span, out []Ref) bool {
	text, at, end := c.Text, rec.start, rec.end
	if text[at] != '{' {
		return false
	}
	at++
	for _, m := range c.objects.order {
		behind := at + len(m.begin)
		if behind >= end || string(text[at:behind]) != m.begin {
			continue
		}
		if at = behind; text[at] == ' ' {
			at++
		}
		field, next, ok := quickValue(text, at, end)
		if !ok || next >= end {
			return false
		}
		if m.field >= 0 {
			out[m.field] = field
		}
		switch at = next + 1; text[next] {
		case '}':
			return at == end
		case ',':
			if at < end && text[at] == ' ' {
				at++
			}
		default:
			return false
		}
	}
	return false
}

// quickValue finds the value at an offset, and the offset behind it. Where a value does not end before end, next is not below end.
func quickValue(text []byte, at, end int) (field Ref, next int, ok bool) {
	if at+8 > len(text) || at >= end {
		return Ref{}, 0, false
	}
	switch c := text[at]; {
	case c == '"':
		stop := stringEnd(text, at+1)
		return ref(at+1, Quoted, stop), stop + 1, stop < end && text[stop] == '"'
	case c == '-' || c-'0' <= 9:
		digits := at
		if c == '-' {
			digits++
		}
		for next = digits; next < end && text[next]-'0' <= 9; {
			next++
		}
		ok = next < end && (next == digits+1 || next > digits && text[digits] != '0')
		if ok && (text[next] == '.' || text[next]|0x20 == 'e') {
			r := reader{line: text[:end], at: at}
			ok = r.number()
			next = r.at
		}
		return ref(at, Number, next), next, ok
	case c == 'n':
		return ref(at, Null, at+4), at + 4, string(text[at:at+4]) == "null"
	case c == 't':
		return ref(at, Truth, at+4), at + 4, string(text[at:at+4]) == "true"
	case c == 'f':
		return ref(at, Truth, at+5), at + 5, string(text[at:at+5]) == "false"
	}
	return Ref{}, 0, false
}

// stringEnd returns the offset of the first quote, backslash or control character from at on, or where it stopped to look.
func stringEnd(text []byte, at int) int {
	for ; at+8 <= len(text); at += 8 {
		x := binary.LittleEndian.Uint64(text[at:])
		// A byte below a space borrows from those above it, so only the lowest hit of the last term is sure.
		found := zeros(x^'"'*ones) | zeros(x^'\\'*ones) | (x-' '*ones)&^x&(0x80*ones)
		if found != 0 {
			return at + bits.TrailingZeros64(found)>>3
		}
	}
	return at
}
