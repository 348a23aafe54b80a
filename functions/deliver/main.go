// Command deliver publishes releases: SQL over pinned tables, and a manifest that a stranger can verify.
package main

import (
	"context"

	"github.com/almanac-data/almanac/functions/internal/deliver"
	"github.com/almanac-data/almanac/functions/internal/duck"
	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/platform"
)

// version is set by the linker.
var version = "unknown"

func main() { fn.Main("deliver", run) }

// config bounds the engine.
type config struct {
	Memory string `env:"ALMANAC_SQL_MEMORY,default=256MB"` // what does not fit is spilled
	Temp   string `env:"ALMANAC_SQL_TEMP,default=/tmp"`    // folder for what is spilled
}

func run(ctx context.Context, p *fn.Process) error {
	var cfg config
	if err := fn.Load(ctx, p.Env, &cfg); err != nil {
		return err
	}
	on, err := platform.Open(ctx, p)
	if err != nil {
		return err
	}
	defer on.Close()
	engine, err := duck.Open(duck.Options{MemoryLimit: cfg.Memory, TempDir: cfg.Temp, Dirs: []string{on.Warehouse.URI(".")}})
	if err != nil {
		return err
	}
	defer engine.Close()
	return p.Serve(ctx, (&deliver.Deliver{
		Journal: on.Journal, Datasets: on.Datasets, Tables: on.Warehouse, Engine: engine, Files: on.Warehouse, Folders: on.Warehouse,
		Now: p.Now, Code: version,
	}).Handle)
}
