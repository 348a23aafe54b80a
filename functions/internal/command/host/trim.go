package host

import (
	"context"
	"time"

	"github.com/almanac-data/almanac/functions/internal/command/state"
	"github.com/almanac-data/almanac/functions/internal/command/trim"
)

// trimEach is how often blocks are let go of whose generation is stored, and how long before it must have been: longer than a
// slice takes, so that nobody is still writing between them. Whoever is all the same does his slice again.
const (
	trimEach  = time.Minute
	trimAfter = 2 * state.Grace
)

// TrimLast trims what is left when all is done.
func (h *Host) TrimLast(ctx context.Context) {
	if h.Folder == nil {
		return // real servers let go of old blocks by their retention
	}
	if err := trim.Blocks(ctx, h.State, h.options.Now()); err != nil {
		h.log.WarnContext(ctx, "blocks cannot be trimmed", "error", err) // they only take room
	}
}

// trimming trims until ctx ends.
func (h *Host) trimming(ctx context.Context) {
	tick := time.NewTicker(trimEach)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := trim.Blocks(ctx, h.State, h.options.Now().Add(-trimAfter)); err != nil && ctx.Err() == nil {
				h.log.Warn("blocks cannot be trimmed", "error", err)
			}
		}
	}
}
