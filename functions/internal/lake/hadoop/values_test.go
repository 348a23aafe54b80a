package hadoop

import (
	"bytes"
	"encoding/json"
	"testing"
)

func FuzzLongValues(f *testing.F) {
	f.Add([]byte(`{"a":{"long":"QUJD"},"b":[{"long":""},{"long" : "x"}]}`))
	f.Add([]byte(`{"long":"a\"b","long":"unfinished`))
	f.Add([]byte(`@value:`))
	f.Fuzz(func(t *testing.T, data []byte) {
		short, found := collapse(data, "long")
		back, used := expand(short, found)
		if bytes.Contains(data, []byte(tokenPrefix)) {
			return // no summary of ours says that
		}
		if !bytes.Equal(back, data) {
			t.Errorf("%q became %q", data, back)
		}
		if len(used) != len(found) {
			t.Errorf("of %d values %d are in use", len(found), len(used))
		}
		if json.Valid(data) && !json.Valid(short) {
			t.Errorf("%q became %q, which is not JSON", data, short)
		}
	})
}
