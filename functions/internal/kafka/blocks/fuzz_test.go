package blocks

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

func FuzzParse(f *testing.F) {
	f.Add("piece", "flights//2001-01-05/1/1")
	f.Add("rows", "-1")
	f.Add("index", "99999999999999999999")
	f.Add("piece", "////")
	f.Fuzz(func(t *testing.T, key, value string) {
		b, err := parse(&kgo.Record{Headers: []kgo.RecordHeader{{Key: key, Value: []byte(value)}}})
		if err == nil && (b.Index < 0 || b.Rows < 0 || b.From.Offset < 0 || b.Piece.Slice < 0) {
			t.Errorf("%s=%q is read as %+v", key, value, b)
		}
	})
}
