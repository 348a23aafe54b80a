// Command store writes validated rows into Iceberg tables.
package main

import (
	"context"

	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/platform"
	"github.com/almanac-data/almanac/functions/internal/store"
)

func main() { fn.Main("store", run) }

func run(ctx context.Context, p *fn.Process) error {
	on, err := platform.Open(ctx, p)
	if err != nil {
		return err
	}
	defer on.Close()
	return p.Serve(ctx, on.Datasets.Handler((&store.Store{
		Journal: on.Journal, Blocks: on.Blocks, Datasets: on.Datasets, Files: on.Warehouse, Opener: on.Warehouse, Joiner: on.Warehouse, Tables: on.Warehouse,
	}).Handle))
}
