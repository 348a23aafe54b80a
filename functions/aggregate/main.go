// Command aggregate computes one window of an aggregate by SQL over pinned tables, on Spark.
package main

import (
	"context"

	"github.com/almanac-data/almanac/functions/internal/aggregate"
	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/platform"
	"github.com/almanac-data/almanac/functions/internal/spark"
)

func main() { fn.Main("aggregate", run) }

func run(ctx context.Context, p *fn.Process) error {
	var cfg spark.Required
	if err := fn.Load(ctx, p.Env, &cfg); err != nil {
		return err
	}
	on, err := platform.Open(ctx, p)
	if err != nil {
		return err
	}
	defer on.Close()
	engine, err := platform.Spark(ctx, p, cfg.Config)
	if err != nil {
		return err
	}
	defer engine.Close(ctx)
	core := &aggregate.Aggregate{Journal: on.Journal, Datasets: on.Datasets, Tables: on.Warehouse, Writes: on.Warehouse, Engine: engine, Log: p.Log}
	return p.Serve(ctx, on.Datasets.Handler(core.Handle))
}
