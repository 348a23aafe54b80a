// Package factstest keeps facts in memory, for tests of what says and reads them.
package factstest

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/facts"
)

// Memory is a facts.Journal in memory. Its zero value is empty.
type Memory struct {
	mu   sync.Mutex
	view *facts.View
	said []events.Event
	// Now is the time that events are said to be said at.
	Now time.Time
}

// Say appends events.
func (m *Memory) Say(_ context.Context, evs ...events.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.view == nil {
		m.view = facts.NewView()
	}
	for _, e := range evs {
		data, err := json.Marshal(e)
		if err != nil {
			return err
		}
		m.view.Apply(e.Topic(), e.Of().Key(), e.Type(), data, m.Now)
		m.said = append(m.said, e)
	}
	return nil
}

// Retract takes a fact back.
func (m *Memory) Retract(_ context.Context, e events.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.view == nil {
		m.view = facts.NewView()
	}
	m.view.Apply(e.Topic(), e.Of().Key(), e.Type(), nil, m.Now)
	return nil
}

// View returns what is known.
func (m *Memory) View(context.Context) (*facts.View, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.view == nil {
		m.view = facts.NewView()
	}
	return m.view, nil
}

// Said lists all that was said, in order.
func (m *Memory) Said() []events.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]events.Event(nil), m.said...)
}
