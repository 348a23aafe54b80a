package parse

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// member is a key of JSON objects: of the column with an index, or dropped.
type member struct {
	key    string
	column int // -1: dropped
}

// members finds keys. Objects of one file mostly have the same keys in the same order, so the keys of the last object are
// tried first.
type members struct {
	order []member
	byKey map[string]member
}

// flaw is why a record is not an object of the contract's form; its zero value says that it is.
type flaw struct {
	reason, detail string
	column         int // -1 for none
}

func bad(at int, what string) flaw {
	return flaw{"json", fmt.Sprintf("the record is not one JSON object: %s at byte %d", what, at), -1}
}

// object finds the fields of record i, which is one JSON object.
func (p *Parser) object(i int, out []ref) {
	clear(out)
	start := p.records[i].start
	r := reader{Parser: p, line: p.text[:p.records[i].end], at: start, out: out}
	if f := r.object(); f.reason != "" {
		clear(out)
		var c *column
		if f.column >= 0 {
			c = p.columns[f.column]
		}
		p.refuse(i, c, f.reason, f.detail)
	}
}

// reader reads one object.
type reader struct {
	*Parser
	line  []byte // the text up to the end of the record
	start int
	at    int
	out   []ref
}

func (r *reader) space() {
	for r.at < len(r.line) && (r.line[r.at] == ' ' || r.line[r.at] == '\t' || r.line[r.at] == '\r') {
		r.at++
	}
}

// take goes over one byte if it is the next after white space.
func (r *reader) take(c byte) bool {
	r.space()
	if r.at < len(r.line) && r.line[r.at] == c {
		r.at++
		return true
	}
	return false
}

func (r *reader) bad(what string) flaw { return bad(r.at-r.start, what) }

func (r *reader) object() flaw {
	r.start = r.at
	if !r.take('{') {
		return r.bad("{ is missing")
	}
	if !r.take('}') {
		for n := 0; ; n++ {
			m, f := r.key(n)
			if f.reason == "" {
				f = r.member(m)
			}
			if f.reason != "" {
				return f
			}
			if r.take(',') {
				continue
			}
			if r.take('}') {
				break
			}
			return r.bad(", or } is missing")
		}
	}
	if r.space(); r.at < len(r.line) {
		return r.bad("there is text behind the object")
	}
	return flaw{}
}

// key reads the n-th key and the colon.
func (r *reader) key(n int) (member, flaw) {
	if !r.take('"') {
		return member{}, r.bad("a key is missing")
	}
	var m member
	if n < len(r.members.order) {
		m = r.members.order[n]
		end := r.at + len(m.key)
		if end < len(r.line) && r.line[end] == '"' && string(r.line[r.at:end]) == m.key {
			r.at = end + 1
			if r.take(':') {
				return m, flaw{}
			}
			return m, r.bad(": is missing")
		}
	}
	key, f := r.text()
	if f.reason != "" {
		return m, f
	}
	name := r.Parser.text[key.start&offset : key.end]
	m, ok := r.find(name)
	if !ok {
		return m, flaw{"unknown_column", fmt.Sprintf("the contract has no column %.64q: declare it in contract.yaml, or list it under process.drop in pipeline.yaml", name), -1}
	}
	if n == len(r.members.order) && n < 4096 {
		r.members.order = append(r.members.order, m)
	} else if n < len(r.members.order) {
		r.members.order[n] = m
	}
	if !r.take(':') {
		return m, r.bad(": is missing")
	}
	return m, flaw{}
}

func (r *reader) find(name []byte) (member, bool) {
	if r.members.byKey == nil {
		r.members.byKey = map[string]member{}
		for name := range r.drop {
			r.members.byKey[name] = member{plain(name), -1}
		}
		for i, c := range r.columns {
			r.members.byKey[c.Source] = member{plain(c.Source), i}
		}
	}
	m, ok := r.members.byKey[string(name)]
	return m, ok
}

// plain is a key as it stands between quotes where nothing in it is escaped. A key that needs an escape equals no text.
func plain(key string) string {
	if strings.ContainsAny(key, "\"\\") {
		return "\n"
	}
	return key
}

// member reads the value of a key.
func (r *reader) member(m member) flaw {
	v, f := r.value()
	if f.reason != "" {
		if f.column = m.column; f.column < 0 && f.reason == "nul" {
			return flaw{} // in a value that is dropped
		}
		return f
	}
	if m.column < 0 {
		return flaw{}
	}
	if r.out[m.column].start != 0 || r.out[m.column].end != 0 {
		return flaw{"duplicate_field", fmt.Sprintf("the object has the key %q twice", r.columns[m.column].Source), m.column}
	}
	r.out[m.column] = v
	return flaw{}
}

// value reads one value.
func (r *reader) value() (ref, flaw) {
	r.space()
	if r.at == len(r.line) {
		return ref{}, r.bad("a value is missing")
	}
	start := r.at
	kind := truth
	switch c := r.line[r.at]; {
	case c == '"':
		r.at++
		return r.text()
	case c == '-' || c-'0' <= 9:
		kind = number
		if !r.number() {
			return ref{}, r.bad("there is no JSON number")
		}
	case c == '{' || c == '[':
		kind = nested
		if f := r.nested(); f.reason != "" {
			return ref{}, f
		}
	case r.word("null"):
		kind = null
	case r.word("true"), r.word("false"):
	default:
		return ref{}, r.bad("there is no JSON value")
	}
	return ref{uint32(start) | kind, uint32(r.at)}, flaw{}
}

func (r *reader) word(w string) bool {
	if len(r.line)-r.at < len(w) || string(r.line[r.at:r.at+len(w)]) != w {
		return false
	}
	r.at += len(w)
	return true
}

func (r *reader) digits() bool {
	start := r.at
	for r.at < len(r.line) && r.line[r.at]-'0' <= 9 {
		r.at++
	}
	return r.at > start
}

// number goes over a number as RFC 8259 has it.
func (r *reader) number() bool {
	if r.line[r.at] == '-' {
		r.at++
	}
	start := r.at
	if !r.digits() || r.line[start] == '0' && r.at > start+1 {
		return false
	}
	if r.at < len(r.line) && r.line[r.at] == '.' {
		if r.at++; !r.digits() {
			return false
		}
	}
	if r.at < len(r.line) && (r.line[r.at] == 'e' || r.line[r.at] == 'E') {
		if r.at++; r.at < len(r.line) && (r.line[r.at] == '-' || r.line[r.at] == '+') {
			r.at++
		}
		return r.digits()
	}
	return true
}

// nested goes over an object or array.
func (r *reader) nested() flaw {
	d := json.NewDecoder(bytes.NewReader(r.line[r.at:]))
	var raw json.RawMessage
	if err := d.Decode(&raw); err != nil {
		return r.bad("there is a broken object or array (" + err.Error() + ")")
	}
	r.at += int(d.InputOffset())
	return flaw{}
}

// text reads a string after its opening quote.
func (r *reader) text() (ref, flaw) {
	start := r.at
	for ; r.at < len(r.line); r.at++ {
		switch c := r.line[r.at]; {
		case c == '"':
			r.at++
			return ref{uint32(start) | quoted, uint32(r.at - 1)}, flaw{}
		case c == '\\':
			return r.escaped(start)
		case c < ' ':
			return ref{}, r.bad("there is a control character in a string")
		}
	}
	return ref{}, r.bad("a string does not end")
}

// escaped reads a string with escapes from start, and writes it anew behind the text.
func (r *reader) escaped(start int) (ref, flaw) {
	text := append(r.Parser.text, r.line[start:r.at]...)
	from := len(r.Parser.text)
	for r.at < len(r.line) {
		c := r.line[r.at]
		r.at++
		switch {
		case c == '"':
			r.Parser.text = text
			v := ref{uint32(from) | quoted, uint32(len(text))}
			if bytes.IndexByte(text[from:], 0) >= 0 {
				return v, flaw{"nul", "the value has a NUL character", -1}
			}
			return v, flaw{}
		case c < ' ':
			return ref{}, r.bad("there is a control character in a string")
		case c != '\\':
			text = append(text, c)
		default:
			var ok bool
			if text, ok = r.escape(text); !ok {
				return ref{}, r.bad("there is a wrong escape in a string")
			}
		}
	}
	return ref{}, r.bad("a string does not end")
}

// escape appends the character of one escape; the backslash is read.
func (r *reader) escape(text []byte) ([]byte, bool) {
	if r.at == len(r.line) {
		return text, false
	}
	c := r.line[r.at]
	r.at++
	if i := bytes.IndexByte([]byte(`"\/bfnrt`), c); i >= 0 {
		return append(text, "\"\\/\b\f\n\r\t"[i]), true
	}
	u, ok := r.unit(c)
	if utf16.IsSurrogate(u) && ok {
		if len(r.line)-r.at < 2 || r.line[r.at] != '\\' {
			return text, false
		}
		low, fine := rune(0), false
		r.at += 2
		low, fine = r.unit(r.line[r.at-1])
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
