// Command process parses and cleans a slice; it alone sees personal values in clear.
package main

import (
	"context"

	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/platform"
	"github.com/almanac-data/almanac/functions/internal/process"
	"github.com/almanac-data/almanac/functions/internal/secret"
)

func main() { fn.Main("process", run) }

func run(ctx context.Context, p *fn.Process) error {
	var cfg secret.Config
	if err := fn.Load(ctx, p.Env, &cfg); err != nil {
		return err
	}
	on, err := platform.Open(ctx, p)
	if err != nil {
		return err
	}
	defer on.Close()
	open := func(ctx context.Context) (process.Pseudonyms, error) { return platform.Pseudonyms(ctx, p, cfg) }
	core := &process.Process{Journal: on.Journal, Blocks: on.Blocks, Datasets: on.Datasets, OpenKey: open}
	if on.Datasets.Personal() {
		if core.Pseudonyms, err = open(ctx); err != nil {
			return err
		}
	}
	keys, err := platform.Envelope(ctx, p, on.Warehouse)
	if err != nil {
		return err
	}
	if keys != nil {
		core.Seals = keys
	}
	return p.Serve(ctx, on.Datasets.Handler(core.Handle))
}
