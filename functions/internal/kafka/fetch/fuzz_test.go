package fetch

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/almanac-data/almanac/functions/internal/kafka/link"
)

// FuzzDecode gives any bytes for the records of an answer.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{}, int64(0))
	f.Add(make([]byte, 100), int64(5))
	f.Fuzz(func(t *testing.T, records []byte, offset int64) {
		at := Position{Topic: link.Topic{Name: "t"}, Offset: offset}
		a := at.decode(&kmsg.FetchResponse{Version: 16, Topics: []kmsg.FetchResponseTopic{{Partitions: []kmsg.FetchResponseTopicPartition{{RecordBatches: records}}}}})
		if a.Next < offset {
			t.Errorf("the position went back from %d to %d", offset, a.Next)
		}
	})
}
