package main

import (
	"context"
	"fmt"
	"log/slog"
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
	"github.com/almanac-data/almanac/functions/internal/maintain"
	"github.com/almanac-data/almanac/functions/internal/platform"
	"github.com/almanac-data/almanac/functions/internal/process"
	"github.com/almanac-data/almanac/functions/internal/secret"
	"github.com/almanac-data/almanac/functions/internal/secret/reference"
	"github.com/almanac-data/almanac/functions/internal/serve"
	"github.com/almanac-data/almanac/functions/internal/snapshot"
	"github.com/almanac-data/almanac/functions/internal/source"
	"github.com/almanac-data/almanac/functions/internal/spark"
	"github.com/almanac-data/almanac/functions/internal/store"
	"github.com/almanac-data/almanac/functions/internal/validate"
)

// newProcess makes the process that all functions share.
func newProcess(ctx context.Context, s *state, env envconfig.Lookuper, log *slog.Logger) (*fn.Process, error) {
	proc, err := fn.New(ctx, "almanac", env, log, wall)
	if err != nil {
		return nil, err
	}
	s.close = append(s.close, func() error { proc.Close(); return nil }) //nolint:contextcheck // ctx is done by then, and what is left is still to be sent
	return proc, nil
}

// newHost puts every function together over an open data folder, or over a cluster.
func newHost(ctx context.Context, s *state, log *slog.Logger) (*host, error) {
	var key secret.Config
	var err error
	if s.folder == nil {
		err = fn.Load(ctx, s.proc.Env, &key)
	} else {
		key, err = s.furnish(ctx, log)
	}
	if err != nil {
		return nil, err
	}
	core := &process.Process{}
	core.Pseudonyms, core.OpenKey, err = s.pseudonyms(ctx, key)
	if err != nil {
		return nil, err
	}
	keys, err := platform.Envelope(ctx, s.proc, s.lake)
	if err != nil {
		return nil, err
	}
	engine, err := openEngine(ctx, s)
	if err != nil {
		return nil, err
	}
	var slices collect.Config
	if err := fn.Load(ctx, s.proc.Env, &slices); err != nil {
		return nil, err
	}
	h := &host{state: s, log: log}
	read := &collect.Collect{SliceBytes: slices.SliceBytes}
	if keys != nil {
		read.Keys, core.Seals = keys, keys
	}
	h.handlers = h.functions(read, core, engine)
	for name, handle := range h.handlers {
		h.handlers[name] = h.catalog.Handler(handle)
	}
	var abandoned maintain.Config
	if err := fn.Load(ctx, s.proc.Env, &abandoned); err != nil {
		return nil, err
	}
	sweeper := &maintain.Sweeper{Warehouse: s.lake, Older: abandoned.Abandoned, Now: wall, Log: log}
	h.handlers["calendar"] = sweeper.After(h.handlers["calendar"])
	h.api = serve.New(serve.Server{Journal: s.journal, Datasets: s.catalog, Files: s.lake, Log: log})
	return h, nil
}

// furnish gives a data folder what a cluster has: a process, and the key of pseudonyms, which lies in the folder if it is not one of a secrets store.
func (s *state) furnish(ctx context.Context, log *slog.Logger) (key secret.Config, err error) {
	env := envconfig.MultiLookuper(envconfig.MapLookuper(map[string]string{"ALMANAC_QUIET": "0s", "ALMANAC_GRACE": "10s"}), envconfig.OsLookuper())
	if s.proc, err = newProcess(ctx, s, env, log); err != nil {
		return key, err
	}
	s.journal = meter.Observe(s.journal, s.proc.Meter)
	s.proc.Meter.CommitRetries(s.lake.Retries)
	err = fn.Load(ctx, s.proc.Env, &key)
	if !reference.Store(key.Key) {
		key.Key = filepath.Join(s.folder.Dir, "pseudonym.key")
	}
	return key, err
}

// openEngine takes the Spark server that ALMANAC_SPARK names, or starts DuckDB, such that SQL reads nothing but the warehouse.
func openEngine(ctx context.Context, s *state) (snapshot.Engine, error) {
	var cfg spark.Config
	if err := fn.Load(ctx, s.proc.Env, &cfg); err != nil {
		return nil, err
	}
	if cfg.Server != "" {
		engine, err := platform.Spark(ctx, s.proc, cfg)
		if err != nil {
			return nil, err
		}
		s.close = append(s.close, func() error { engine.Close(ctx); return nil })
		return engine, nil
	}
	if s.remote() {
		return nil, fmt.Errorf("ALMANAC_SPARK is not set: DuckDB does not read %s, so name a Spark server (spark.server)", s.lake.URI("."))
	}
	temp, err := s.scratch()
	if err != nil {
		return nil, err
	}
	engine, err := duck.Open(duck.Options{MemoryLimit: "128MB", Threads: runtime.GOMAXPROCS(0), TempDir: temp, Dirs: []string{s.lake.URI(".")}})
	if err != nil {
		return nil, err
	}
	s.close = append(s.close, func() error { engine.Close(); return nil })
	return engine, nil
}

func (h *host) functions(read *collect.Collect, parse *process.Process, engine snapshot.Engine) map[string]fn.Handler {
	blocks, said := h.cluster.Blocks(), h.journal
	pace := h.pace
	pace.ProbeBefore = wall()
	cal := &calendar.Calendar{
		Journal: said, Datasets: h.catalog.Schedule, Tables: h.lake, Letters: h.cluster.LetterBox("calendar"), Now: h.now, Wall: wall, Pace: pace,
		Backlogs: h.proc.Meter,
	}
	read.Journal, read.Blocks, read.Sources, read.Datasets, read.Archive, read.Now = said, blocks, &source.Files{}, h.catalog, h.lake, wall
	parse.Journal, parse.Blocks, parse.Datasets = said, blocks, h.catalog
	return map[string]fn.Handler{
		"calendar": cal.Handle,
		"collect":  read.Handle,
		"process":  parse.Handle,
		"validate": (&validate.Validate{Journal: said, Blocks: blocks, Datasets: h.catalog}).Handle,
		"store": (&store.Store{
			Journal: said, Blocks: blocks, Datasets: h.catalog, Files: h.lake, Opener: h.lake, Joiner: h.lake, Tables: h.lake,
			Linger: linger, AtOnce: runtime.GOMAXPROCS(0),
		}).Handle,
		"aggregate": (&aggregate.Aggregate{Journal: said, Datasets: h.catalog, Tables: h.lake, Writes: h.lake, Engine: engine, Log: h.proc.Log}).Handle,
		"deliver": (&deliver.Deliver{
			Journal: said, Datasets: h.catalog, Tables: h.lake, Engine: engine, Files: h.lake, Folders: h.lake, Now: wall, Code: version, Log: h.proc.Log,
		}).Handle,
	}
}
