// Command calendar says what is due, and announces again what got stuck.
package main

import (
	"context"

	"github.com/almanac-data/almanac/functions/internal/calendar"
	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/platform"
)

func main() { fn.Main("calendar", run) }

func run(ctx context.Context, p *fn.Process) error {
	var cfg calendar.Config
	if err := fn.Load(ctx, p.Env, &cfg); err != nil {
		return err
	}
	on, err := platform.Open(ctx, p)
	if err != nil {
		return err
	}
	defer on.Close()
	return p.Serve(ctx, (&calendar.Calendar{
		Journal: on.Journal, Datasets: on.Datasets, Tables: on.Warehouse, Now: p.Now, Wall: p.Now, Pace: cfg.Pace(),
	}).Handle)
}
