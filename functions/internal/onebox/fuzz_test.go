package onebox

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

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
