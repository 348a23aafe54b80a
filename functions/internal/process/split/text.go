package split

import (
	"bytes"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// text reads a string after its opening quote.
func (r *reader) text() (Ref, bool) {
	start := r.at
	for ; r.at < len(r.line); r.at++ {
		switch c := r.line[r.at]; {
		case c == '"':
			r.at++
			return ref(start, Quoted, r.at-1), true
		case c == '\\':
			return r.escaped(start)
		case c < ' ':
			return Ref{}, r.bad("there is a control character in a string")
		}
	}
	return Ref{}, r.bad("a string does not end")
}

// escaped reads a string with escapes from start, and writes it anew behind the text.
func (r *reader) escaped(start int) (Ref, bool) {
	text := r.chunk.Text
	from := len(text)
	text = append(text, r.line[start:r.at]...)
	for r.at < len(r.line) {
		c := r.line[r.at]
		r.at++
		switch {
		case c == '"':
			r.chunk.Text = text
			if bytes.IndexByte(text[from:], 0) >= 0 {
				return Ref{}, r.refuse(-1, "nul", "the value has a NUL character")
			}
			return ref(from, Quoted, len(text)), true
		case c < ' ':
			return Ref{}, r.bad("there is a control character in a string")
		case c != '\\':
			text = append(text, c)
		default:
			var ok bool
			if text, ok = r.escape(text); !ok {
				return Ref{}, r.bad("there is a wrong escape in a string")
			}
		}
	}
	return Ref{}, r.bad("a string does not end")
}

// escape appends the character of one escape; the backslash is read.
func (r *reader) escape(text []byte) ([]byte, bool) {
	if r.at == len(r.line) {
		return text, false
	}
	c := r.line[r.at]
	r.at++
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		return append(text, "\"\\/\b\f\n\r\t"[i]), true
	}
	u, ok := r.unit(c)
	if utf16.IsSurrogate(u) && ok {
		if len(r.line)-r.at < 2 || r.line[r.at] != '\\' {
			return text, false
		}
		r.at += 2
		low, fine := r.unit(r.line[r.at-1])
		u = utf16.DecodeRune(u, low)
		ok = fine && u != utf8.RuneError
	}
	return utf8.AppendRune(text, u), ok
}

// unit reads the four hexadecimal digits after \u.
func (r *reader) unit(c byte) (u rune, ok bool) {
	if c != 'u' || len(r.line)-r.at < 4 {
		return 0, false
	}
	for _, d := range r.line[r.at : r.at+4] {
		switch {
		case d-'0' <= 9:
			d -= '0'
		case d|0x20 >= 'a' && d|0x20 <= 'f':
			d = d | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		u = u<<4 | rune(d)
	}
	r.at += 4
	return u, true
}
