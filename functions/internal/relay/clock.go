package relay

import (
	"context"
	"time"
)

// Clock tells the time and waits for it.
type Clock interface {
	Now() time.Time
	// Wait returns once it is t or later, or with the context's error.
	Wait(ctx context.Context, t time.Time) error
}

// Running is a clock that runs by itself: Running(time.Now).
type Running func() time.Time

// Now is the time.
func (r Running) Now() time.Time { return r() }

// Wait waits until t.
func (r Running) Wait(ctx context.Context, t time.Time) error {
	timer := time.NewTimer(t.Sub(r()))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
