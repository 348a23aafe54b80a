// Command calendar says what is due, announces again what got stuck, and sweeps the warehouse.
package main

import (
	"context"
	"errors"

	"github.com/almanac-data/almanac/functions/internal/calendar"
	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/maintain"
	"github.com/almanac-data/almanac/functions/internal/platform"
)

func main() { fn.Main("calendar", run) }

func run(ctx context.Context, p *fn.Process) error {
	var cfg calendar.Config
	var keep maintain.Config
	if err := errors.Join(fn.Load(ctx, p.Env, &cfg), fn.Load(ctx, p.Env, &keep)); err != nil {
		return err
	}
	on, err := platform.Open(ctx, p)
	if err != nil {
		return err
	}
	defer on.Close()
	core := &calendar.Calendar{
		Journal: on.Journal, Datasets: on.Datasets.Schedule, Tables: on.Warehouse, Letters: on.Cluster.LetterBox(p.Name), Now: p.Now, Wall: p.Now,
		Pace: cfg.Pace(), Backlogs: p.Meter,
	}
	sweeper := &maintain.Sweeper{Warehouse: on.Warehouse, Older: keep.Abandoned, Now: p.Now, Log: p.Log}
	return p.Serve(ctx, sweeper.After(core.Handle))
}
