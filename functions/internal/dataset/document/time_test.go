package document

import (
	"testing"
	"time"
)

func TestDurationsHaveDaysAndWeeks(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"6h": 6 * time.Hour, "0d": 0, "1d": 24 * time.Hour, "2w": 336 * time.Hour, "1w1d12h30m": 204*time.Hour + 30*time.Minute, "0": 0,
	} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("parseDuration(%s) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "1", "-1h", "1d-1h", "1h1d", "99999w", "9999999h", "1.5d", " 1d"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("parseDuration(%q) = %v, want an error", text, got)
		}
	}
}
