// Command process parses and cleans a slice; it alone sees personal values in clear.
package main

import (
	"context"

	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/platform"
	"github.com/almanac-data/almanac/functions/internal/process"
	"github.com/almanac-data/almanac/functions/internal/process/vector"
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
	core := &process.Process{Journal: on.Journal, Blocks: on.Blocks, Datasets: on.Datasets, OpenKey: func() (vector.Pseudonyms, error) { return secret.KeyFile(cfg.Key) }}
	if on.Datasets.Personal() {
		if core.Pseudonyms, err = core.OpenKey(); err != nil {
			return err
		}
	}
	return p.Serve(ctx, on.Datasets.Handler(core.Handle))
}
