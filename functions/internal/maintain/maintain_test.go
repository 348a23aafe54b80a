package maintain

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/table"
)

type fake struct {
	older []time.Duration
	err   error
}

func (f *fake) Sweep(_ context.Context, older time.Duration) ([]table.Removed, error) {
	f.older = append(f.older, older)
	return []table.Removed{{Path: "x"}}, f.err
}

func TestSweepsAfterATickOnceAnHour(t *testing.T) {
	now := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
	f := &fake{}
	s := &Sweeper{Warehouse: f, Older: 5 * time.Hour, Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)}
	handled := 0
	handle := s.After(func(context.Context, events.Event) error { handled++; return nil })
	for _, step := range []struct {
		after time.Duration
		ev    events.Event
		want  int // sweeps so far
	}{
		{0, events.Due{}, 0}, {0, nil, 1}, {59 * time.Minute, nil, 1}, {time.Minute, events.Due{}, 1}, {0, nil, 2}, {0, nil, 2},
	} {
		now = now.Add(step.after)
		if err := handle(t.Context(), step.ev); err != nil {
			t.Fatal(err)
		}
		if len(f.older) != step.want {
			t.Fatalf("at %s there were %d sweeps, want %d", now.Format(time.TimeOnly), len(f.older), step.want)
		}
	}
	if handled != 6 || f.older[0] != 5*time.Hour {
		t.Errorf("handled %d events, want 6; swept what is older than %v, want 5h", handled, f.older)
	}
}

func TestASweepThatFailsIsToldWithTheHandlersError(t *testing.T) {
	f := &fake{err: errors.New("no rights")}
	s := &Sweeper{Warehouse: f, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	err := s.After(func(context.Context, events.Event) error { return errors.New("no facts") })(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "no rights") || !strings.Contains(err.Error(), "no facts") {
		t.Errorf("error is %v, want both", err)
	}
}

func TestCheck(t *testing.T) {
	if err := (Config{Abandoned: 59 * time.Minute}).Check(); err == nil || !strings.Contains(err.Error(), "ALMANAC_ABANDONED") {
		t.Errorf("Check of 59m = %v, want an error that names the variable", err)
	}
	if err := (Config{Abandoned: time.Hour}).Check(); err != nil {
		t.Error(err)
	}
}
