package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
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

// FuzzDecode gives any bytes for the records of an answer.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{}, int64(0))
	f.Add(make([]byte, 100), int64(5))
	f.Fuzz(func(t *testing.T, records []byte, offset int64) {
		at := position{topic: topic{name: "t"}, offset: offset}
		a := at.decode(&kmsg.FetchResponse{Version: 16, Topics: []kmsg.FetchResponseTopic{{Partitions: []kmsg.FetchResponseTopicPartition{{RecordBatches: records}}}}})
		if a.next < offset {
			t.Errorf("the position went back from %d to %d", offset, a.next)
		}
	})
}
