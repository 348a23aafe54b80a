// Command collect reads slices of source windows into raw blocks.
package main

import (
	"context"

	"github.com/almanac-data/almanac/functions/internal/collect"
	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/platform"
	"github.com/almanac-data/almanac/functions/internal/source"
)

func main() { fn.Main("collect", run) }

func run(ctx context.Context, p *fn.Process) error {
	var cfg collect.Config
	if err := fn.Load(ctx, p.Env, &cfg); err != nil {
		return err
	}
	on, err := platform.Open(ctx, p)
	if err != nil {
		return err
	}
	defer on.Close()
	keys, err := platform.Envelope(ctx, p, on.Warehouse)
	if err != nil {
		return err
	}
	core := &collect.Collect{
		Journal: on.Journal, Blocks: on.Blocks, Sources: &source.Files{}, Datasets: on.Datasets, Archive: on.Warehouse, Now: p.Now,
		SliceBytes: cfg.SliceBytes,
	}
	if keys != nil {
		core.Keys = keys
	}
	return p.Serve(ctx, on.Datasets.Handler(core.Handle))
}
