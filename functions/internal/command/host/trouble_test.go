package host

import (
	"context"
	"errors"
	"testing"

	"github.com/almanac-data/almanac/events"
)

func TestWhatFailsIsToldUntilItSucceeds(t *testing.T) {
	var tr troubles
	failing := errors.New("files of flights.rows:\n  location does not lie within the warehouse")
	handle := tr.watch("aggregate", func(context.Context, events.Event) error { return failing })
	for range 2 {
		_ = handle(t.Context(), nil) // the answer is the endpoint's
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	_ = tr.watch("deliver", func(context.Context, events.Event) error { return context.Canceled })(stopped, nil)
	want := "! aggregate fails (2 times) and is tried again: files of flights.rows: location does not lie within the warehouse"
	if got := tr.lines(); len(got) != 1 || got[0] != want {
		t.Fatalf("lines = %q, want %q", got, want)
	}
	failing = nil
	_ = handle(t.Context(), nil)
	if got := tr.lines(); len(got) != 0 {
		t.Errorf("after it succeeded lines = %q, want none", got)
	}
}
