package reader

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// container is an object container file, written out by hand after the specification.
func container(schema string, blocks ...string) []byte {
	const sync = "0123456789abcdef"
	var b bytes.Buffer
	b.WriteString("Obj\x01\x04" + "\x16avro.schema")
	n := len(schema) << 1 // zigzag, in two bytes
	b.Write([]byte{byte(n&0x7f | 0x80), byte(n >> 7)})
	b.WriteString(schema + "\x14avro.codec\x08null\x00" + sync)
	for _, block := range blocks {
		b.WriteString("\x02" + string(rune(len(block)<<1)) + block + sync)
	}
	return b.Bytes()
}

const example = `{"type": "record", "name": "r", "fields": [` +
	`{"name": "n", "type": ["null", "long"]}, {"name": "s", "type": "string"}, {"name": "all", "type": {"type": "array", "items": "int"}},` +
	`{"name": "by", "type": {"type": "map", "values": "boolean"}}, {"name": "in", "type": {"type": "record", "name": "i", "fields": [{"name": "b", "type": "bytes"}]}},` +
	`{"name": "again", "type": "i"}, {"name": "f", "type": {"type": "fixed", "name": "two", "size": 2}}]}`

func TestAvro(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a.avro")
	block := "\x02\xd8\x04" + "\x06abc" + "\x04\x02\x03\x00" + "\x02\x02k\x01\x00" + "\x04xy" + "\x02z" + "ok"
	if err := os.WriteFile(name, container(example, block, strings.Replace(block, "\x02\xd8\x04", "\x00", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := readAvro(name)
	first := map[string]any{
		"n": int64(300), "s": "abc", "all": []any{int64(1), int64(-2)}, "by": map[string]any{"k": true},
		"in": map[string]any{"b": []byte("xy")}, "again": map[string]any{"b": []byte("z")}, "f": []byte("ok"),
	}
	if err != nil || len(got) != 2 || !reflect.DeepEqual(got[0], first) || got[1]["n"] != nil {
		t.Errorf("readAvro = %v, %v; want two records, the first %v", got, err, first)
	}
}

func FuzzAvro(f *testing.F) {
	f.Add(container(example, "\x00\x06abc\x00\x00\x00\x00ok"))
	f.Add([]byte("Obj\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		name := filepath.Join(t.TempDir(), "a.avro")
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _ = readAvro(name) // an error or records, but no panic
	})
}
