package host

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/fn/endpoint"
)

// troubles remembers of each function the error of its last event, if that failed: a run that only tries again shows what it waits for.
type troubles struct {
	mu   sync.Mutex
	last map[string]trouble
}

type trouble struct {
	times int // in a row
	text  string
}

// watch notes how the events of a function end.
func (t *troubles) watch(function string, handle endpoint.Handler) endpoint.Handler {
	return func(ctx context.Context, ev events.Event) error {
		err := handle(ctx, ev)
		if err == nil || ctx.Err() == nil { // a run that is stopped is no trouble
			t.note(function, err)
		}
		return err
	}
}

func (t *troubles) note(function string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		delete(t.last, function)
		return
	}
	if t.last == nil {
		t.last = map[string]trouble{}
	}
	t.last[function] = trouble{t.last[function].times + 1, strings.Join(strings.Fields(err.Error()), " ")}
}

// lines says which functions fail, sorted by their names.
func (t *troubles) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var lines []string
	for _, function := range slices.Sorted(maps.Keys(t.last)) {
		last := t.last[function]
		times := ""
		if last.times > 1 {
			times = fmt.Sprintf(" (%d times)", last.times)
		}
		lines = append(lines, fmt.Sprintf("! %s fails%s and is tried again: %s", function, times, last.text))
	}
	return lines
}
