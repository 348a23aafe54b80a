package format

import (
	"bytes"
	"io"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
)

// flushAt is how many bytes are gathered before they are written.
const flushAt = 64 << 10

// ndjson writes one JSON object a line. Decimals keep their digits, times are RFC 3339, binary is base64; NaN and infinities are null.
type ndjson struct {
	w    io.Writer
	keys [][]byte // {"a": and ,"b":
	buf  []byte
	cell []byte
}

func newNDJSON(w io.Writer, schema *arrow.Schema) (Writer, error) {
	n := &ndjson{w: w, buf: make([]byte, 0, flushAt+4<<10)}
	for i, f := range schema.Fields() {
		start := byte(',')
		if i == 0 {
			start = '{'
		}
		n.keys = append(n.keys, append(appendString([]byte{start}, []byte(f.Name)), ':'))
	}
	return n, nil
}

// Write implements Writer.
func (n *ndjson) Write(batch arrow.RecordBatch) error {
	cols := columns(batch)
	for row := range int(batch.NumRows()) {
		for i, c := range cols {
			n.buf = append(n.buf, n.keys[i]...)
			n.value(c, row)
		}
		if len(cols) == 0 {
			n.buf = append(n.buf, '{')
		}
		n.buf = append(n.buf, "}\n"...)
		if len(n.buf) >= flushAt {
			if err := n.flush(); err != nil {
				return err
			}
		}
	}
	return n.flush()
}

func (n *ndjson) value(c column, row int) {
	switch {
	case c.IsNull(row) || c.kind == float && !c.finite(row):
		n.buf = append(n.buf, "null"...)
	case c.kind == text:
		n.cell = c.append(n.cell[:0], row)
		n.buf = appendString(n.buf, n.cell)
	case c.kind == plain:
		n.buf = append(c.append(append(n.buf, '"'), row), '"')
	default:
		n.buf = c.append(n.buf, row)
	}
}

func (n *ndjson) flush() error {
	_, err := n.w.Write(n.buf)
	n.buf = n.buf[:0]
	return err
}

// Close implements Writer.
func (n *ndjson) Close() error { return nil }

// appendString appends a JSON string. Text that is not UTF-8 keeps what is; the rest becomes U+FFFD.
func appendString(b, s []byte) []byte {
	if !utf8.Valid(s) {
		s = bytes.ToValidUTF8(s, []byte("\uFFFD"))
	}
	b = append(b, '"')
	from := 0
	for i, c := range s {
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			b = append(b, `\u00`...)
			b = append(b, "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
		}
	}
	return append(append(b, s[from:]...), '"')
}
