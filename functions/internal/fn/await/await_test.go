package await

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var (
	errAway  = errors.New("connection refused")
	errWrong = errors.New("the password is wrong")
)

func passing(err error) bool { return errors.Is(err, errAway) }

func TestUntil(t *testing.T) {
	tests := map[string]struct {
		patience time.Duration
		takes    time.Duration // of each attempt
		errs     []error       // of the attempts, the last for ever
		want     error
		attempts int
		told     int
		took     time.Duration
	}{
		"a server that answers is not told of":       {time.Minute, time.Second, []error{nil}, nil, 1, 0, time.Second},
		"one that comes is waited for":               {time.Minute, 0, []error{errAway, errAway, nil}, nil, 3, 1, 2 * time.Second},
		"one that is silent is told of soon":         {time.Minute, 10 * time.Second, []error{errAway, nil}, nil, 2, 2, 21 * time.Second},
		"it is told again each half minute":          {5 * time.Minute, 9 * time.Second, []error{errAway, errAway, errAway, errAway, errAway, errAway, errAway, nil}, nil, 8, 4, 79 * time.Second},
		"what a person must mend is told at once":    {time.Minute, 0, []error{errWrong}, errWrong, 1, 0, 0},
		"also after the server has come":             {time.Minute, 0, []error{errAway, errWrong}, errWrong, 2, 1, time.Second},
		"one that never comes is given up":           {10 * time.Second, 0, []error{errAway}, errAway, 11, 1, 10 * time.Second},
		"without patience there is one attempt only": {0, 10 * time.Second, []error{errAway}, errAway, 1, 0, 10 * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var told []string
				attempts := 0
				w := Waiter{Patience: tt.patience, Tell: func(text string) { told = append(told, text) }}
				err := w.Until(t.Context(), "Kafka at k:9092 (ALMANAC_KAFKA)", passing, func(context.Context) error {
					time.Sleep(tt.takes)
					attempts++
					return tt.errs[min(attempts, len(tt.errs))-1]
				})
				if !errors.Is(err, tt.want) || attempts != tt.attempts || time.Since(began) != tt.took || len(told) != tt.told {
					t.Errorf("Until = %v after %d attempts and %s, told %q, want %v, %d, %s and %d lines",
						err, attempts, time.Since(began), told, tt.want, tt.attempts, tt.took, tt.told)
				}
				for _, text := range told {
					if !strings.HasPrefix(text, "waiting for Kafka at k:9092 (ALMANAC_KAFKA), up to "+tt.patience.String()+" (ALMANAC_START_PATIENCE): ") {
						t.Errorf("it says %q", text)
					}
				}
				if tt.patience > 0 && errors.Is(err, errAway) && !strings.Contains(err.Error(), "gave up waiting for Kafka at k:9092 (ALMANAC_KAFKA) after 10s (ALMANAC_START_PATIENCE)") {
					t.Errorf("the end says %v", err)
				}
			})
		})
	}
}

func TestAStopEndsTheWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5500*time.Millisecond)
		defer cancel()
		began := time.Now()
		err := Waiter{Patience: time.Hour, Tell: func(string) {}}.Until(ctx, "Spark", passing, func(context.Context) error { return errAway })
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 5500*time.Millisecond {
			t.Errorf("Until = %v after %s", err, time.Since(began))
		}
	})
}

func TestPatienceIsNotNegative(t *testing.T) {
	if err := (Config{Patience: -1}).Check(); err == nil || !strings.Contains(err.Error(), "ALMANAC_START_PATIENCE") {
		t.Errorf("Check = %v", err)
	}
}
