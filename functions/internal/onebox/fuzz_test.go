package onebox

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/almanac-data/almanac/functions/internal/kafka"
)

func FuzzEventOf(f *testing.F) {
	f.Add("content-type", []byte("application/cloudevents+json"), []byte(`{"specversion":"1.0","id":"i","source":"/s","type":"t","data":1}`))
	f.Add("ce_specversion", []byte("1.0"), []byte(nil))
	f.Add("", []byte(nil), []byte(`{"data_base64":"*"}`))
	f.Fuzz(func(t *testing.T, key string, header, value []byte) {
		e := eventOf(kafka.Record{Key: header, Value: value, Headers: []kafka.Header{{Key: key, Value: header}}}, "ns", "name")
		if !e.complete() || e.attributes["knativekafkaoffset"] != "0" {
			t.Errorf("not an event: %v", e.attributes)
		}
	})
}

// FuzzMend gives any bytes for a log.
func FuzzMend(f *testing.F) {
	f.Add([]byte{}, []byte("{}"))
	f.Add(bytes.Repeat([]byte{0}, 200), []byte(`{"high_watermark":7}`))
	f.Add([]byte("garbage that is long enough to be read as the head of a record batch, and then some"), []byte(`{`))
	f.Fuzz(func(t *testing.T, segment, snap []byte) {
		dir := t.TempDir()
		for name, data := range map[string][]byte{"0.dat": segment, "snapshot.json": snap} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if err := mend(dir, slog.New(slog.DiscardHandler)); err != nil {
				t.Fatal(err)
			}
		}
		if info, err := os.Stat(filepath.Join(dir, "0.dat")); err == nil && info.Size() > int64(len(segment)) {
			t.Errorf("the segment grew to %d", info.Size())
		}
	})
}
