package onebox

import (
	"context"
	"sync"
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

// Movable is a clock that stands still until it is set, so that half a year passes in seconds. It never runs backwards.
type Movable struct {
	mu    sync.Mutex
	now   time.Time
	moved chan struct{} // closed when now changes
}

// NewMovable returns a clock that shows t.
func NewMovable(t time.Time) *Movable { return &Movable{now: t, moved: make(chan struct{})} }

// Now is the time that was set last.
func (m *Movable) Now() time.Time {
	now, _ := m.look()
	return now
}

func (m *Movable) look() (time.Time, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now, m.moved
}

// Set moves the clock forward to t; an earlier time is passed over.
func (m *Movable) Set(t time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t.After(m.now) {
		m.now = t
		close(m.moved)
		m.moved = make(chan struct{})
	}
}

// Wait waits until the clock is set to t or later.
func (m *Movable) Wait(ctx context.Context, t time.Time) error {
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
