package format

import (
	"bytes"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
)

// csv writes RFC 4180 with a header record and \r\n. Null is the empty field, the empty string is ""; where there is one column
// only, null is "" too, as readers pass over blank lines.
type csv struct {
	w    io.Writer
	buf  []byte
	cell []byte
}

func newCSV(w io.Writer, schema *arrow.Schema) (Writer, error) {
	c := &csv{w: w, buf: make([]byte, 0, flushAt+4<<10)}
	for i, f := range schema.Fields() {
		if i > 0 {
			c.buf = append(c.buf, ',')
		}
		c.field([]byte(f.Name))
	}
	c.buf = append(c.buf, "\r\n"...)
	return c, c.flush()
}

// Write implements Writer.
func (c *csv) Write(batch arrow.RecordBatch) error {
	cols := columns(batch)
	for row := range int(batch.NumRows()) {
		for i, col := range cols {
			if i > 0 {
				c.buf = append(c.buf, ',')
			}
			switch {
			case col.IsNull(row) && len(cols) == 1:
				c.field(nil)
			case col.IsNull(row):
			case col.kind == text || col.kind == nested:
				c.cell = col.append(c.cell[:0], row)
				c.field(c.cell)
			default:
				c.buf = col.append(c.buf, row)
			}
		}
		c.buf = append(c.buf, "\r\n"...)
		if len(c.buf) >= flushAt {
			if err := c.flush(); err != nil {
				return err
			}
		}
	}
	return c.flush()
}

// field quotes what needs it.
func (c *csv) field(s []byte) {
	if len(s) > 0 && !bytes.ContainsAny(s, ",\"\r\n") && s[0] != ' ' && s[len(s)-1] != ' ' {
		c.buf = append(c.buf, s...)
		return
	}
	c.buf = append(c.buf, '"')
	c.buf = append(c.buf, bytes.ReplaceAll(s, []byte{'"'}, []byte(`""`))...)
	c.buf = append(c.buf, '"')
}

func (c *csv) flush() error {
	_, err := c.w.Write(c.buf)
	c.buf = c.buf[:0]
	return err
}

// Close implements Writer.
func (c *csv) Close() error { return nil }
