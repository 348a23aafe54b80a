package encoding

import "encoding/binary"

// Types of the Thrift compact protocol.
const (
	thriftTrue   = 1
	thriftFalse  = 2
	thriftI32    = 5
	thriftI64    = 6
	thriftBinary = 8
	thriftList   = 9
	thriftStruct = 12
)

// Thrift writes structs in the compact protocol. Fields must be written in the order of their ids.
type Thrift struct {
	buf  []byte
	last []int16 // field id before, of each open struct
}

// Reset starts another struct, which is appended to dst.
func (t *Thrift) Reset(dst []byte) { t.buf, t.last = dst, append(t.last[:0], 0) }

// Bytes ends the outermost struct and returns what was written.
func (t *Thrift) Bytes() []byte { return append(t.buf, 0) }

func (t *Thrift) field(id int16, kind byte) {
	last := &t.last[len(t.last)-1]
	if delta := id - *last; delta > 0 && delta < 16 {
		t.buf = append(t.buf, byte(delta)<<4|kind)
	} else {
		t.buf = binary.AppendVarint(append(t.buf, kind), int64(id))
	}
	*last = id
}

// I32 writes a field, also of an enum.
func (t *Thrift) I32(id int16, v int32) {
	t.field(id, thriftI32)
	t.buf = binary.AppendVarint(t.buf, int64(v))
}

// I64 writes a field.
func (t *Thrift) I64(id int16, v int64) {
	t.field(id, thriftI64)
	t.buf = binary.AppendVarint(t.buf, v)
}

// Bool writes a field.
func (t *Thrift) Bool(id int16, v bool) {
	if v {
		t.field(id, thriftTrue)
	} else {
		t.field(id, thriftFalse)
	}
}

// Binary writes a field of bytes or text.
func (t *Thrift) Binary(id int16, v []byte) {
	t.field(id, thriftBinary)
	t.item(v)
}

func (t *Thrift) item(v []byte) {
	t.buf = append(binary.AppendUvarint(t.buf, uint64(len(v))), v...)
}

// Struct writes a field that is a struct.
func (t *Thrift) Struct(id int16, fields func()) {
	t.field(id, thriftStruct)
	t.Item(fields)
}

// Item writes a struct as an element of a list.
func (t *Thrift) Item(fields func()) {
	t.last = append(t.last, 0)
	fields()
	t.last = t.last[:len(t.last)-1]
	t.buf = append(t.buf, 0)
}

// Structs begins a list of n structs; each is written by Item.
func (t *Thrift) Structs(id int16, n int) { t.list(id, n, thriftStruct) }

// Raw writes structs of a list that were written before, by another Thrift.
func (t *Thrift) Raw(items []byte) { t.buf = append(t.buf, items...) }

// I32s writes a list.
func (t *Thrift) I32s(id int16, v ...int32) {
	t.list(id, len(v), thriftI32)
	for _, x := range v {
		t.buf = binary.AppendVarint(t.buf, int64(x))
	}
}

// Text writes a list of texts.
func (t *Thrift) Text(id int16, v ...string) {
	t.list(id, len(v), thriftBinary)
	for _, x := range v {
		t.item([]byte(x))
	}
}

func (t *Thrift) list(id int16, n int, kind byte) {
	t.field(id, thriftList)
	if n < 15 {
		t.buf = append(t.buf, byte(n)<<4|kind)
		return
	}
	t.buf = binary.AppendUvarint(append(t.buf, 0xf0|kind), uint64(n))
}
