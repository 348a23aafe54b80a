package post

import (
	"testing"

	"github.com/almanac-data/almanac/functions/internal/kafka"
)

func FuzzEventOf(f *testing.F) {
	f.Add("content-type", []byte("application/cloudevents+json"), []byte(`{"specversion":"1.0","id":"i","source":"/s","type":"t","data":1}`))
	f.Add("ce_specversion", []byte("1.0"), []byte(nil))
	f.Add("", []byte(nil), []byte(`{"data_base64":"*"}`))
	f.Fuzz(func(t *testing.T, key string, header, value []byte) {
		e := EventOf(kafka.Record{Key: header, Value: value, Headers: []kafka.Header{{Key: key, Value: header}}}, "ns", "name")
		if !e.Complete() || e.Attributes["knativekafkaoffset"] != "0" {
			t.Errorf("not an event: %v", e.Attributes)
		}
	})
}
