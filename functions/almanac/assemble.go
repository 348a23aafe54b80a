package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"

	"github.com/sethvargo/go-envconfig"

	"github.com/almanac-data/almanac/functions/internal/aggregate"
	"github.com/almanac-data/almanac/functions/internal/calendar"
	"github.com/almanac-data/almanac/functions/internal/collect"
	"github.com/almanac-data/almanac/functions/internal/deliver"
	"github.com/almanac-data/almanac/functions/internal/duck"
	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/fn/meter"
	"github.com/almanac-data/almanac/functions/internal/process"
	"github.com/almanac-data/almanac/functions/internal/secret"
	"github.com/almanac-data/almanac/functions/internal/serve"
	"github.com/almanac-data/almanac/functions/internal/snapshot"
	"github.com/almanac-data/almanac/functions/internal/source"
	"github.com/almanac-data/almanac/functions/internal/spark"
	"github.com/almanac-data/almanac/functions/internal/store"
	"github.com/almanac-data/almanac/functions/internal/validate"
)

// newHost puts every function together over an open data folder.
func newHost(ctx context.Context, s *state, log *slog.Logger) (*host, error) {
	env := envconfig.MultiLookuper(envconfig.MapLookuper(map[string]string{"ALMANAC_QUIET": "0s", "ALMANAC_GRACE": "10s"}), envconfig.OsLookuper())
	proc, err := fn.New(ctx, "almanac", env, log, wall)
	if err != nil {
		return nil, err
	}
	s.close = append(s.close, func() error { proc.Close(); return nil }) //nolint:contextcheck // ctx is done by then, and what is left is still to be sent
	key, err := secret.KeyFile(filepath.Join(s.folder.Dir, "pseudonym.key"))
	if err != nil {
		return nil, err
	}
	engine, err := openEngine(ctx, s, proc)
	if err != nil {
		return nil, err
	}
	proc.Meter.CommitRetries(s.lake.Retries)
	h := &host{state: s, proc: proc, log: log}
	h.handlers = h.functions(key, engine)
	h.api = serve.New(serve.Server{Journal: s.journal, Datasets: s.catalog, Files: s.lake, Log: log})
	return h, nil
}

// openEngine starts DuckDB, such that SQL reads nothing but the warehouse, or takes the Spark server that ALMANAC_SPARK names.
func openEngine(ctx context.Context, s *state, proc *fn.Process) (snapshot.Engine, error) {
	var cfg spark.Config
	if err := fn.Load(ctx, proc.Env, &cfg); err != nil {
		return nil, err
	}
	if cfg.Server != "" {
		engine, err := spark.Open(ctx, cfg, proc.Log)
		if err != nil {
			return nil, err
		}
		s.close = append(s.close, func() error { engine.Close(); return nil })
		return engine, engine.Ping(ctx)
	}
	temp := filepath.Join(s.folder.Dir, "temp")
	if err := os.RemoveAll(temp); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(temp, 0o700); err != nil {
		return nil, err
	}
	engine, err := duck.Open(duck.Options{MemoryLimit: "128MB", Threads: runtime.GOMAXPROCS(0), TempDir: temp, Dirs: []string{s.lake.URI(".")}})
	if err != nil {
		return nil, err
	}
	s.close = append(s.close, func() error { engine.Close(); return nil })
	return engine, nil
}

func (h *host) functions(key *secret.Key, engine snapshot.Engine) map[string]fn.Handler {
	blocks := h.cluster.Blocks()
	said := meter.Observe(h.journal, h.proc.Meter)
	cal := &calendar.Calendar{Journal: said, Datasets: h.catalog, Tables: h.lake, Now: h.now, Wall: wall, Pace: pace(wall())}
	return map[string]fn.Handler{
		"calendar": cal.Handle,
		"collect":  (&collect.Collect{Journal: said, Blocks: blocks, Sources: &source.Files{}, Datasets: h.catalog, Archive: h.lake, Now: wall}).Handle,
		"process":  (&process.Process{Journal: said, Blocks: blocks, Datasets: h.catalog, Pseudonyms: key}).Handle,
		"validate": (&validate.Validate{Journal: said, Blocks: blocks, Datasets: h.catalog}).Handle,
		"store": (&store.Store{
			Journal: said, Blocks: blocks, Datasets: h.catalog, Files: h.lake, Opener: h.lake, Tables: h.lake,
			Linger: linger, AtOnce: runtime.GOMAXPROCS(0),
		}).Handle,
		"aggregate": (&aggregate.Aggregate{Journal: said, Datasets: h.catalog, Tables: h.lake, Writes: h.lake, Engine: engine}).Handle,
		"deliver": (&deliver.Deliver{
			Journal: said, Datasets: h.catalog, Tables: h.lake, Engine: engine, Files: h.lake, Folders: h.lake, Now: wall, Code: version,
		}).Handle,
	}
}
