package parse

import (
	"fmt"
	"unicode/utf8"
)

// What becomes of a record.
const (
	passed uint8 = iota
	refused
	filtered
)

// ref is a field: the bytes [start, end) of the chunk's text, with the kind of the field in the upper bits of start.
type ref struct{ start, end uint32 }

// The kinds of a field. Zero is a field that is not there.
const (
	absent uint32 = iota << kindShift
	bare          // unquoted CSV
	quoted        // a text: quoted CSV, or a JSON string
	number        // a JSON number
	truth         // true or false in JSON
	null          // null in JSON
	nested        // an object or array in JSON

	kindShift = 28
	offset    = 1<<kindShift - 1
)

func (f ref) kind() uint32 { return f.start &^ offset }

type span struct{ start, end int }

// chunk is the records that are read at one go.
type chunk struct {
	text    []byte // the block, and after it what had to be unescaped
	block   int    // the length of the block
	dirty   bool   // the block holds a NUL byte or is not UTF-8
	n       int    // records
	stride  int    // fields per record
	fields  []ref  // stride for each record
	records []span // where they lie in text, without line ends
	state   []uint8
	whole   bool     // every record has passed so far
	rejects []Reject // no more than one per record
	kept    []int32
}

// shape makes room for records of some fields.
func (k *chunk) shape(stride int) {
	const most = 8192
	n := min(max(most/max(stride, 1), 16), 2048)
	k.stride = stride
	k.fields = make([]ref, n*stride)
	k.records = make([]span, n)
	k.state = make([]uint8, n)
}

// width is the number of bytes that the fields of the chunk have at most.
func (k *chunk) width() int {
	return k.records[k.n-1].end - k.records[0].start + len(k.text) - k.block
}

// refuse gives the reason why record i does not become a row; the first one stands.
func (k *chunk) refuse(i int, c *column, reason, detail string) {
	if k.state[i] == refused {
		return
	}
	k.state[i], k.whole = refused, false
	r := Reject{row: i, Reason: reason, Detail: detail}
	if c != nil {
		r.Column = c.Name
	}
	k.rejects = append(k.rejects, r)
}

// show is a value as a person reads it, cut where it is long.
func (c *column) show(v []byte) string {
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
