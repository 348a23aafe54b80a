// Package maintain keeps a warehouse free of what writers that died have left in it.
package maintain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/table"
)

// Warehouse is what is swept.
type Warehouse interface {
	// Sweep removes what was begun, never finished and last changed longer ago than older says.
	Sweep(ctx context.Context, older time.Duration) ([]table.Removed, error)
}

// Config says what counts as abandoned, by the variable of its function.
type Config struct {
	Abandoned time.Duration `env:"ALMANAC_ABANDONED,default=24h"` // since something unfinished was last changed; longer than any one event takes
}

// Check says what is wrong.
func (c Config) Check() error {
	if c.Abandoned < time.Hour {
		return fmt.Errorf("ALMANAC_ABANDONED must be at least 1h, not %s: what a living writer has begun would be taken from it", c.Abandoned)
	}
	return nil
}

// pause is how long a process does not sweep again. A sweep costs a few requests for each table; what it finds is a day old.
const pause = time.Hour

// Sweeper sweeps now and then.
type Sweeper struct {
	Warehouse Warehouse
	Older     time.Duration
	Now       func() time.Time // tells only when to sweep next
	Log       *slog.Logger

	mu   sync.Mutex
	last time.Time
}

// After handles events by the handler, and sweeps after a tick (a nil event) if that was not done for an hour, be the handler's
// outcome what it may. What goes wrong in a sweep does not keep the event from being handled, and is told with it.
func (s *Sweeper) After(handle func(context.Context, events.Event) error) func(context.Context, events.Event) error {
	return func(ctx context.Context, ev events.Event) error {
		err := handle(ctx, ev)
		if ev == nil && s.due() {
			err = errors.Join(err, s.sweep(ctx))
		}
		return err
	}
}

// due says whether to sweep now; it says so once.
func (s *Sweeper) due() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.Now()
	if !s.last.IsZero() && now.Sub(s.last) < pause {
		return false
	}
	s.last = now
	return true
}

func (s *Sweeper) sweep(ctx context.Context) error {
	removed, err := s.Warehouse.Sweep(ctx, s.Older)
	var bytes int64
	for _, r := range removed {
		bytes += r.Bytes
		s.Log.DebugContext(ctx, "removed what was abandoned", "path", r.Path, "bytes", r.Bytes, "modified", r.Modified)
	}
	if len(removed) > 0 {
		s.Log.InfoContext(ctx, "warehouse swept", "removed", len(removed), "bytes", bytes)
	}
	return err
}
