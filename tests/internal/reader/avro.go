package reader

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
)

// errAvro says that a file is not the Avro that it should be.
var errAvro = errors.New("not an Avro object container file")

// readAvro reads all records of an Avro object container file (Avro specification 1.11, "Object Container Files"). Records and
// maps are map[string]any, arrays []any, int and long int64, bytes and fixed []byte; a union is the value of its branch.
func readAvro(name string) (_ []map[string]any, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("read %s: %w", name, err)
		}
	}()
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(data, []byte("Obj\x01")) {
		return nil, errAvro
	}
	d := &decoder{data: data[4:], named: map[string]any{}}
	meta, _ := d.value(map[string]any{"type": "map", "values": "bytes"}).(map[string]any)
	sync := d.take(16)
	text, _ := meta["avro.schema"].([]byte)
	codec, _ := meta["avro.codec"].([]byte)
	var schema any
	if err := json.Unmarshal(text, &schema); err != nil {
		return nil, errors.Join(errAvro, err)
	}
	var records []map[string]any
	for len(d.data) > 0 && d.err == nil {
		n, size := d.count(), d.long()
		block := &decoder{data: unpack(d.take(int(size)), string(codec), &d.err), named: d.named}
		if !bytes.Equal(d.take(16), sync) {
			return nil, fmt.Errorf("%w: sync marker is missing", errAvro)
		}
		for i := int64(0); i < n && block.err == nil; i++ {
			record, _ := block.value(schema).(map[string]any)
			records = append(records, record)
		}
		d.err = errors.Join(d.err, block.err)
	}
	return records, d.err
}

func unpack(block []byte, codec string, err *error) []byte {
	switch codec {
	case "", "null":
		return block
	case "deflate":
		plain, e := io.ReadAll(flate.NewReader(bytes.NewReader(block)))
		*err = errors.Join(*err, e)
		return plain
	}
	*err = errors.Join(*err, fmt.Errorf("codec %q is not known here", codec))
	return nil
}

// decoder reads values one after the other; after an error it gives zero values.
type decoder struct {
	data  []byte
	named map[string]any // schemas that were defined, by name
	err   error
}

func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.data) {
		d.err = errors.Join(d.err, io.ErrUnexpectedEOF)
		d.data = nil
		return make([]byte, min(max(n, 0), 16))
	}
	part := d.data[:n]
	d.data = d.data[n:]
	return part
}

func (d *decoder) long() int64 {
	n, size := binary.Varint(d.data)
	if size <= 0 {
		d.err = errors.Join(d.err, io.ErrUnexpectedEOF)
		d.data = nil
		return 0
	}
	d.data = d.data[size:]
	return n
}

// count is a number of items; a file that claims more than it can hold is none.
func (d *decoder) count() int64 {
	n := d.long()
	if n > 1<<24 || n < -1<<24 {
		d.err = fmt.Errorf("%w: a block of %d items", errAvro, n)
		return 0
	}
	return n
}

// value reads one value of the schema.
func (d *decoder) value(schema any) any {
	if d.err != nil {
		return nil
	}
	switch s := schema.(type) {
	case string:
		return d.primitive(s)
	case []any:
		i := d.long()
		if i < 0 || int(i) >= len(s) {
			d.err = fmt.Errorf("%w: a union has no branch %d", errAvro, i)
			return nil
		}
		return d.value(s[i])
	case map[string]any:
		return d.complex(s)
	}
	d.err = fmt.Errorf("%w: schema %v", errAvro, schema)
	return nil
}

func (d *decoder) primitive(kind string) any {
	switch kind {
	case "null":
		return nil
	case "boolean":
		return d.take(1)[0] != 0
	case "int", "long":
		return d.long()
	case "float":
		return math.Float32frombits(binary.LittleEndian.Uint32(d.take(4)))
	case "double":
		return math.Float64frombits(binary.LittleEndian.Uint64(d.take(8)))
	case "bytes":
		return bytes.Clone(d.take(int(d.long())))
	case "string":
		return string(d.take(int(d.long())))
	}
	if s, ok := d.named[kind]; ok {
		return d.value(s)
	}
	d.err = fmt.Errorf("%w: type %q", errAvro, kind)
	return nil
}

func (d *decoder) complex(s map[string]any) any {
	if name, ok := s["name"].(string); ok {
		d.named[name] = s
	}
	switch kind := s["type"]; kind {
	case "record":
		record := map[string]any{}
		fields, _ := s["fields"].([]any)
		for _, f := range fields {
			field, _ := f.(map[string]any)
			name, _ := field["name"].(string)
			record[name] = d.value(field["type"])
		}
		return record
	case "array":
		var all []any
		d.blocks(func() { all = append(all, d.value(s["items"])) })
		return all
	case "map":
		all := map[string]any{}
		d.blocks(func() {
			key, _ := d.primitive("string").(string)
			all[key] = d.value(s["values"])
		})
		return all
	case "fixed":
		size, _ := s["size"].(float64)
		return bytes.Clone(d.take(int(size)))
	case "enum":
		return d.long()
	default:
		return d.value(kind)
	}
}

// blocks calls item for each item of an array or map.
func (d *decoder) blocks(item func()) {
	for d.err == nil {
		n := d.count()
		if n == 0 {
			return
		}
		if n < 0 {
			n = -n
			d.long() // bytes of the block
		}
		for ; n > 0 && d.err == nil; n-- {
			item()
		}
	}
}
