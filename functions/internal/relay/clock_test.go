package relay_test

import (
	"context"
	"sync"
	"time"
)

// movable is a clock that stands still until it is set, so that half a year passes in seconds. It never runs backwards.
type movable struct {
	mu    sync.Mutex
	now   time.Time
	moved chan struct{} // closed when now changes
}

// newMovable returns a clock that shows t.
func newMovable(t time.Time) *movable { return &movable{now: t, moved: make(chan struct{})} }

// Now is the time that was set last.
func (m *movable) Now() time.Time {
	now, _ := m.look()
	return now
}

func (m *movable) look() (time.Time, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now, m.moved
}

// Set moves the clock forward to t; an earlier time is passed over.
func (m *movable) Set(t time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t.After(m.now) {
		m.now = t
		close(m.moved)
		m.moved = make(chan struct{})
	}
}

// Wait waits until the clock is set to t or later.
func (m *movable) Wait(ctx context.Context, t time.Time) error {
	for {
		now, moved := m.look()
		if !now.Before(t) {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
