// Command deliver publishes releases: SQL over pinned tables, on Spark, and a manifest that a stranger can verify.
package main

import (
	"context"

	"github.com/almanac-data/almanac/functions/internal/deliver"
	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/platform"
	"github.com/almanac-data/almanac/functions/internal/spark"
)

// version is set by the linker.
var version = "unknown"

func main() { fn.Main("deliver", run) }

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
	return p.Serve(ctx, on.Datasets.Handler((&deliver.Deliver{
		Journal: on.Journal, Datasets: on.Datasets, Tables: on.Warehouse, Engine: engine, Files: on.Warehouse, Folders: on.Warehouse,
		Now: p.Now, Code: version, Log: p.Log,
	}).Handle))
}
