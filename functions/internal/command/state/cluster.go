package state

import (
	"context"
	"errors"
	"log/slog"

	"github.com/sethvargo/go-envconfig"

	"github.com/almanac-data/almanac/functions/internal/calendar"
	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/platform"
)

// Await connects to the servers that --config names, for a run: it waits for those that do not answer yet, and says so.
func Await(ctx context.Context, o *command.Options, log *slog.Logger) (*State, error) {
	return connectCluster(ctx, o, log, o.Patient)
}

// openCluster is Await for a command that fails at once where a server does not answer.
func openCluster(ctx context.Context, o *command.Options, log *slog.Logger) (*State, error) {
	return connectCluster(ctx, o, log, func(context.Context, *fn.Process) error { return nil })
}

func connectCluster(ctx context.Context, o *command.Options, log *slog.Logger, prepare func(context.Context, *fn.Process) error) (_ *State, err error) {
	env, err := o.Environment()
	if err != nil {
		return nil, err
	}
	s := &State{Now: o.Now, wall: o.Now}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.Proc, err = s.NewProcess(ctx, o, env, log); err != nil {
		return nil, err
	}
	if err := prepare(ctx, s.Proc); err != nil {
		return nil, err
	}
	on, err := platform.Open(ctx, s.Proc)
	if err != nil {
		return nil, err
	}
	s.OnClose(func() error { on.Close(); return nil })
	s.Cluster, s.Journal, s.Lake, s.Datasets = on.Cluster, on.Journal, on.Warehouse, on.Datasets
	var cfg calendar.Config
	if err := fn.Load(ctx, env, &cfg); err != nil {
		return nil, err
	}
	s.Pace = cfg.Pace()
	return s, nil
}

// NewProcess makes the process that all functions share, which Close ends.
func (s *State) NewProcess(ctx context.Context, o *command.Options, env envconfig.Lookuper, log *slog.Logger) (*fn.Process, error) {
	proc, err := fn.New(ctx, "almanac", env, log, o.Now)
	if err != nil {
		return nil, err
	}
	s.OnClose(func() error { proc.Close(); return nil }) //nolint:contextcheck // ctx is done by then, and what is left is still to be sent
	return proc, nil
}
