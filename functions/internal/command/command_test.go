package command

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestExitCodes(t *testing.T) {
	for want, err := range map[int]error{
		0: nil, 1: errors.New("broken"), 2: Exit(Usage, errors.New("wrong")), 3: fmt.Errorf("run: %w", Exit(Attention, nil)),
	} {
		if got := Report(io.Discard, err); got != want {
			t.Errorf("Report(%v) = %d, want %d", err, got, want)
		}
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567", -999: "-999"} {
		if got := Thousands(n); got != want {
			t.Errorf("Thousands(%d) = %s, want %s", n, got, want)
		}
	}
}
