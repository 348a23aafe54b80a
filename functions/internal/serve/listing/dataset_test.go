package listing

import (
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	for text, want := range map[string]string{"6h0m0s": "6h", "1h30m0s": "1h30m", "1m30s": "1m30s", "0s": "0s", "10s": "10s", "10m0s": "10m", "20h0m0s": "20h", "100h10m": "100h10m"} {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := duration(d); got != want {
			t.Errorf("duration(%s) = %s, want %s", text, got, want)
		}
	}
}
