// Command calendar says what is due, and announces again what got stuck.
package main

import (
	"context"
	"time"

	"github.com/almanac-data/almanac/functions/internal/calendar"
	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/platform"
)

func main() { fn.Main("calendar", run) }

// config is how fast the calendar goes.
type config struct {
	Grace    time.Duration `env:"ALMANAC_GRACE_FACTS,default=15m"` // longer than a slice takes
	Retry    time.Duration `env:"ALMANAC_RETRY,default=15m"`
	Recheck  time.Duration `env:"ALMANAC_RECHECK,default=24h"` // of the sources of stored windows
	Parallel int           `env:"ALMANAC_PARALLEL,default=8"`
}

func run(ctx context.Context, p *fn.Process) error {
	var cfg config
	if err := fn.Load(ctx, p.Env, &cfg); err != nil {
		return err
	}
	on, err := platform.Open(ctx, p)
	if err != nil {
		return err
	}
	defer on.Close()
	pace := calendar.Pace{Grace: cfg.Grace, Retry: cfg.Retry, Recheck: cfg.Recheck, Parallel: cfg.Parallel}
	return p.Serve(ctx, (&calendar.Calendar{
		Journal: on.Journal, Datasets: on.Datasets, Tables: on.Warehouse, Now: p.Now, Wall: p.Now, Pace: pace,
	}).Handle)
}
