// Command serve answers HTTP requests about datasets and releases.
package main

import (
	"context"
	"os"

	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/platform"
	"github.com/almanac-data/almanac/functions/internal/platform/gate"
	"github.com/almanac-data/almanac/functions/internal/serve"
)

func main() { fn.Main("serve", run) }

func run(ctx context.Context, p *fn.Process) error {
	door, err := gate.Open(ctx, p, os.Stdout)
	if err != nil {
		return err
	}
	defer door.Close()
	on, err := platform.Open(ctx, p)
	if err != nil {
		return err
	}
	defer on.Close()
	api := serve.New(serve.Server{Journal: on.Journal, Datasets: on.Datasets, Files: on.Warehouse, Gate: door.Gate, Log: p.Log})
	return p.ServeHTTP(ctx, p.Instrument(api))
}
