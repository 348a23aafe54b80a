package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/almanac-data/almanac/functions/internal/command/survey"
	"github.com/almanac-data/almanac/functions/internal/relay"
	"github.com/almanac-data/almanac/functions/internal/table"
)

// Wake wakes the calendar once. That of a cluster is woken again, so that nothing is an error there but what a person must mend in a table.
func (h *Host) Wake(ctx context.Context) error {
	err := h.handlers["calendar"](ctx, nil)
	if h.Folder != nil || errors.Is(err, table.ErrNoMap) || errors.Is(err, table.ErrLost) {
		return err
	}
	return nil
}

// Wait waits for the sources, whose context has ended, and closes their connections.
func (h *Host) Wait() {
	h.sources.Wait()
	h.idle()
}

// Troubles says which functions fail at present, a line for each.
func (h *Host) Troubles() []string { return h.troubles.lines() }

// outage is how long the servers of a cluster may not answer before a run gives up.
const outage = 5 * time.Minute

// Look surveys all datasets, and says whether nothing goes on any more. On a cluster it waits while servers do not answer.
func (h *Host) Look(ctx context.Context) (all []survey.Dataset, idle bool, err error) {
	for began := h.options.Now(); ; {
		if all, idle, err = h.look(ctx); err == nil || h.Folder != nil || ctx.Err() != nil || h.options.Now().Sub(began) > outage {
			return all, idle, err
		}
		h.log.WarnContext(ctx, "servers do not answer", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// look is Look that does not wait. Events are looked for only when no window is under way, and
// the windows then once more: an event that was still on its way may have changed them.
func (h *Host) look(ctx context.Context) (all []survey.Dataset, idle bool, err error) {
	if all, err = h.Survey(ctx, nil); err != nil || survey.Busy(all) {
		return all, false, err
	}
	lag, err := h.lag(ctx)
	if err != nil || lag > 0 {
		return all, false, err
	}
	all, err = h.Survey(ctx, nil)
	return all, !survey.Busy(all), err
}

// lag is how many events wait for a function or are under way.
func (h *Host) lag(ctx context.Context) (int64, error) {
	var sum int64
	for _, t := range triggers() {
		n, err := h.Cluster.Lag(ctx, relay.Group(t.function), t.topics)
		if err != nil {
			return 0, fmt.Errorf("look at the sources: %w", err)
		}
		sum += n
		if t.wakes == "" || h.Folder != nil {
			continue
		}
		if n, err = h.Cluster.Lag(ctx, shared(t.function), []string{t.wakes}); err != nil {
			return 0, fmt.Errorf("look at the sources: %w", err)
		}
		sum += n
	}
	return sum, nil
}
