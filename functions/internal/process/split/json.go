package split

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// member is a key of objects.
type member struct {
	key   string // as it stands between quotes where nothing in it is escaped
	begin string // the key with its quotes and colon
	field int    // -1: dropped
}

// objects finds keys. Objects of one file mostly have the same keys in the same order, so those of the last object are tried
// first.
type objects struct {
	byKey map[string]member
	names []string
	order []member // no field twice
}

func newObjects(names, dropped []string) objects {
	o := objects{byKey: map[string]member{}, names: names}
	for _, name := range dropped {
		o.add(name, -1)
	}
	for i, name := range names {
		o.add(name, i)
	}
	return o
}

func (o *objects) add(name string, field int) {
	key := name
	if strings.ContainsAny(name, "\"\\") {
		key = "\n" // equals nothing in a line
	}
	o.byKey[name] = member{key, `"` + key + `":`, field}
}

// object finds the fields of record i, which is one JSON object.
func (c *Chunk) object(i int) {
	out, at := c.row(i), c.records[i]
	clear(out)
	if c.quick(at, out) {
		return
	}
	clear(out)
	r := reader{chunk: c, line: c.Text[:at.end], start: at.start, at: at.start, out: out, order: c.objects.order[:0]}
	if !r.object() {
		c.objects.order = r.order[:0]
		c.flaw(i, r.flaw.Field, r.flaw.Reason, r.flaw.Detail)
		return
	}
	c.objects.order = r.order
}

// reader reads one object of any form. Its methods return false when they meet a flaw, and keep it.
type reader struct {
	chunk *Chunk
	line  []byte // the text up to the end of the record
	start int
	at    int
	out   []Ref
	order []member
	flaw  Flaw
}

func (r *reader) refuse(field int, reason, detail string) bool {
	r.flaw = Flaw{Field: field, Reason: reason, Detail: detail}
	return false
}

func (r *reader) bad(what string) bool {
	return r.refuse(-1, "json", fmt.Sprintf("the record is not one JSON object: %s at byte %d", what, r.at-r.start))
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

func (r *reader) object() bool {
	if !r.take('{') {
		return r.bad("{ is missing")
	}
	for more := !r.take('}'); more; {
		if !r.member() {
			return false
		}
		if more = r.take(','); !more && !r.take('}') {
			return r.bad(", or } is missing")
		}
	}
	if r.space(); r.at < len(r.line) {
		return r.bad("there is text behind the object")
	}
	return true
}

// member reads a key and its value.
func (r *reader) member() bool {
	if !r.take('"') {
		return r.bad("a key is missing")
	}
	key, ok := r.text()
	if !ok {
		return false
	}
	name := r.chunk.Text[key.Start():key.End()]
	m, ok := r.chunk.objects.byKey[string(name)]
	if !ok {
		return r.refuse(-1, "unknown_column", fmt.Sprintf("the contract has no column %.64q: declare it in contract.yaml, or list it under process.drop in pipeline.yaml", name))
	}
	if !r.take(':') {
		return r.bad(": is missing")
	}
	v, ok := r.value()
	switch {
	case !ok && m.field < 0 && r.flaw.Reason == "nul": // in a value that is dropped
	case !ok:
		r.flaw.Field = m.field
		return false
	case m.field < 0:
	case r.out[m.field] != Ref{}:
		return r.refuse(m.field, "duplicate_field", fmt.Sprintf("the object has the key %q twice", r.chunk.objects.names[m.field]))
	default:
		r.out[m.field] = v
	}
	r.order = append(r.order, m)
	return true
}

// value reads one value.
func (r *reader) value() (Ref, bool) {
	r.space()
	if r.at == len(r.line) {
		return Ref{}, r.bad("a value is missing")
	}
	start, kind := r.at, Truth
	switch c := r.line[r.at]; {
	case c == '"':
		r.at++
		return r.text()
	case c == '-' || c-'0' <= 9:
		kind = Number
		if !r.number() {
			return Ref{}, r.bad("there is no JSON number")
		}
	case c == '{' || c == '[':
		kind = Nested
		if !r.nested() {
			return Ref{}, false
		}
	case r.word("null"):
		kind = Null
	case r.word("true"), r.word("false"):
	default:
		return Ref{}, r.bad("there is no JSON value")
	}
	return ref(start, kind, r.at), true
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
	if r.at < len(r.line) && r.line[r.at]|0x20 == 'e' {
		if r.at++; r.at < len(r.line) && (r.line[r.at] == '-' || r.line[r.at] == '+') {
			r.at++
		}
		return r.digits()
	}
	return true
}

// nested goes over an object or array.
func (r *reader) nested() bool {
	d := json.NewDecoder(bytes.NewReader(r.line[r.at:]))
	var raw json.RawMessage
	if err := d.Decode(&raw); err != nil {
		return r.bad("there is a broken object or array (" + err.Error() + ")")
	}
	r.at += int(d.InputOffset())
	return true
}
