package host

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/sethvargo/go-envconfig"

	"github.com/almanac-data/almanac/functions/internal/aggregate"
	"github.com/almanac-data/almanac/functions/internal/calendar"
	"github.com/almanac-data/almanac/functions/internal/collect"
	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/command/state"
	"github.com/almanac-data/almanac/functions/internal/deliver"
	"github.com/almanac-data/almanac/functions/internal/duck"
	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/fn/endpoint"
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

// New puts every function together over an open data folder, or over a cluster.
func New(ctx context.Context, o *command.Options, s *state.State, log *slog.Logger) (*Host, error) {
	var key secret.Config
	var err error
	if s.Folder == nil {
		err = fn.Load(ctx, s.Proc.Env, &key)
	} else {
		key, err = furnish(ctx, o, s, log)
	}
	if err != nil {
		return nil, err
	}
	core := &process.Process{}
	core.Pseudonyms, core.OpenKey, err = pseudonyms(ctx, s, key)
	if err != nil {
		return nil, err
	}
	keys, err := platform.Envelope(ctx, s.Proc, s.Lake)
	if err != nil {
		return nil, err
	}
	engine, err := openEngine(ctx, s)
	if err != nil {
		return nil, err
	}
	var slices collect.Config
	if err := fn.Load(ctx, s.Proc.Env, &slices); err != nil {
		return nil, err
	}
	h := &Host{State: s, options: o, log: log}
	read := &collect.Collect{SliceBytes: slices.SliceBytes}
	if keys != nil {
		read.Keys, core.Seals = keys, keys
	}
	h.handlers = h.functions(read, core, engine)
	for name, handle := range h.handlers {
		h.handlers[name] = h.Datasets.Handler(handle)
	}
	var abandoned maintain.Config
	if err := fn.Load(ctx, s.Proc.Env, &abandoned); err != nil {
		return nil, err
	}
	sweeper := &maintain.Sweeper{Warehouse: s.Lake, Older: abandoned.Abandoned, Now: o.Now, Log: log}
	h.handlers["calendar"] = sweeper.After(h.handlers["calendar"])
	h.api = serve.New(serve.Server{Journal: s.Journal, Datasets: s.Datasets, Files: s.Lake, Log: log})
	return h, nil
}

// furnish gives a data folder what a cluster has: a process, and the key of pseudonyms, which lies in the folder if it is not one of a secrets store.
func furnish(ctx context.Context, o *command.Options, s *state.State, log *slog.Logger) (key secret.Config, err error) {
	env := envconfig.MultiLookuper(envconfig.MapLookuper(map[string]string{"ALMANAC_QUIET": "0s", "ALMANAC_GRACE": "10s"}), o.Env)
	if s.Proc, err = s.NewProcess(ctx, o, env, log); err != nil {
		return key, err
	}
	s.Journal = meter.Observe(s.Journal, s.Proc.Meter)
	s.Proc.Meter.CommitRetries(s.Lake.Retries)
	err = fn.Load(ctx, s.Proc.Env, &key)
	if !reference.Store(key.Key) {
		key.Key = filepath.Join(s.Folder.Dir, "pseudonym.key")
	}
	return key, err
}

// openEngine takes the Spark server that ALMANAC_SPARK names, or starts DuckDB, such that SQL reads nothing but the warehouse.
func openEngine(ctx context.Context, s *state.State) (snapshot.Engine, error) {
	var cfg spark.Config
	if err := fn.Load(ctx, s.Proc.Env, &cfg); err != nil {
		return nil, err
	}
	if cfg.Server != "" {
		engine, err := platform.Spark(ctx, s.Proc, cfg)
		if err != nil {
			return nil, err
		}
		s.OnClose(func() error { engine.Close(ctx); return nil })
		return engine, nil
	}
	if remote(s) {
		return nil, fmt.Errorf("ALMANAC_SPARK is not set: DuckDB does not read %s, so name a Spark server (spark.server)", s.Lake.URI("."))
	}
	temp, err := scratch(s)
	if err != nil {
		return nil, err
	}
	engine, err := duck.Open(duck.Options{MemoryLimit: "128MB", Threads: runtime.GOMAXPROCS(0), TempDir: temp, Dirs: []string{s.Lake.URI(".")}})
	if err != nil {
		return nil, err
	}
	s.OnClose(func() error { engine.Close(); return nil })
	return engine, nil
}

func (h *Host) functions(read *collect.Collect, parse *process.Process, engine snapshot.Engine) map[string]endpoint.Handler {
	blocks, said := h.Cluster.Blocks(), h.Journal
	pace := h.Pace
	pace.ProbeBefore = h.options.Now()
	cal := &calendar.Calendar{
		Journal: said, Datasets: h.Datasets.Schedule, Tables: h.Lake, Letters: h.Cluster.LetterBox("calendar"), Now: h.Now, Wall: h.options.Now, Pace: pace,
		Backlogs: h.Proc.Meter,
	}
	read.Journal, read.Blocks, read.Sources, read.Datasets, read.Archive, read.Now = said, blocks, &source.Files{}, h.Datasets, h.Lake, h.options.Now
	parse.Journal, parse.Blocks, parse.Datasets = said, blocks, h.Datasets
	return map[string]endpoint.Handler{
		"calendar": cal.Handle,
		"collect":  read.Handle,
		"process":  parse.Handle,
		"validate": (&validate.Validate{Journal: said, Blocks: blocks, Datasets: h.Datasets}).Handle,
		"store": (&store.Store{
			Journal: said, Blocks: blocks, Datasets: h.Datasets, Files: h.Lake, Opener: h.Lake, Joiner: h.Lake, Tables: h.Lake,
			Linger: linger, AtOnce: runtime.GOMAXPROCS(0),
		}).Handle,
		"aggregate": (&aggregate.Aggregate{Journal: said, Datasets: h.Datasets, Tables: h.Lake, Writes: h.Lake, Engine: engine, Log: h.Proc.Log}).Handle,
		"deliver": (&deliver.Deliver{
			Journal: said, Datasets: h.Datasets, Tables: h.Lake, Engine: engine, Files: h.Lake, Folders: h.Lake, Now: h.options.Now, Code: h.options.Version, Log: h.Proc.Log,
		}).Handle,
	}
}

// pseudonyms opens the key of pseudonyms; that of a cluster not before a dataset has personal columns.
func pseudonyms(ctx context.Context, s *state.State, key secret.Config) (opened process.Pseudonyms, later func(context.Context) (process.Pseudonyms, error), err error) {
	later = func(ctx context.Context) (process.Pseudonyms, error) { return platform.Pseudonyms(ctx, s.Proc, key) }
	if s.Folder != nil || s.Datasets.Personal() {
		opened, err = later(ctx)
	}
	return opened, later, err
}

// scratch is an empty folder for what DuckDB spills.
func scratch(s *state.State) (string, error) {
	if s.Folder == nil {
		dir, err := os.MkdirTemp("", "almanac-")
		if err == nil {
			s.OnClose(func() error { return os.RemoveAll(dir) })
		}
		return dir, err
	}
	dir := filepath.Join(s.Folder.Dir, "temp")
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o700)
}

// remote says whether the warehouse lies where DuckDB cannot read.
func remote(s *state.State) bool { return strings.Contains(s.Lake.URI("."), "://") }
