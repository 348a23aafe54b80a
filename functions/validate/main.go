// Command validate applies the row rules of the contract to a slice.
package main

import (
	"context"

	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/platform"
	"github.com/almanac-data/almanac/functions/internal/validate"
)

func main() { fn.Main("validate", run) }

func run(ctx context.Context, p *fn.Process) error {
	on, err := platform.Open(ctx, p)
	if err != nil {
		return err
	}
	defer on.Close()
	return p.Serve(ctx, on.Datasets.Handler((&validate.Validate{Journal: on.Journal, Blocks: on.Blocks, Datasets: on.Datasets}).Handle))
}
