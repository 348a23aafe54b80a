// Command serve answers HTTP requests about datasets and releases.
package main

import (
	"context"

	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/platform"
	"github.com/almanac-data/almanac/functions/internal/serve"
)

func main() { fn.Main("serve", run) }

func run(ctx context.Context, p *fn.Process) error {
	on, err := platform.Open(ctx, p)
	if err != nil {
		return err
	}
	defer on.Close()
	return p.ServeHTTP(ctx, serve.New(serve.Server{Journal: on.Journal, Datasets: on.Datasets, Files: on.Warehouse, Log: p.Log}))
}
