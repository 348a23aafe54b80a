package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/platform"
	"github.com/almanac-data/almanac/functions/internal/platform/gate"
	"github.com/almanac-data/almanac/functions/internal/spark"
)

// examineCluster asks each server that --config names, and says whether the configuration can be used at all.
func examineCluster(ctx context.Context, o *options) (found []finding, ok bool) {
	check := "configuration " + o.config
	file, err := o.settings()
	if err != nil {
		return []finding{{check, false, err.Error()}}, false
	}
	found = append(found, finding{check, true, fmt.Sprintf("%d variables", len(file.Env()))})
	env, err := o.environment()
	if err != nil {
		return append(found, finding{check, false, err.Error()}), false
	}
	s := &state{}
	defer func() { _ = s.Close() }() // nothing was written
	if s.proc, err = newProcess(ctx, s, env, slog.New(slog.DiscardHandler)); err != nil {
		return append(found, finding{"tracing", false, err.Error()}), false
	}
	var common fn.Common
	if err := fn.Load(ctx, env, &common); err != nil {
		return append(found, finding{check, false, err.Error()}), false
	}
	found = append(found, examineKafka(ctx, o)...)
	return append(found, s.examineWarehouse(ctx), s.examineSpark(ctx), examineServe(ctx, o, s)), true
}

// examineServe looks at who is let in to the HTTP API.
func examineServe(ctx context.Context, o *options, s *state) finding {
	const check = "serve"
	all, done, wrong := examineDatasets(ctx, o)
	if wrong == nil { // else it is told elsewhere
		defer done()
	}
	names := make([]string, 0, len(all))
	for _, d := range all {
		names = append(names, d.Name)
	}
	detail, err := gate.Examine(ctx, s.proc, names)
	if err != nil {
		return finding{check, false, err.Error()}
	}
	return finding{check, true, detail}
}

// examineWarehouse makes a folder, which shows that this user may write, and removes it.
func (s *state) examineWarehouse(ctx context.Context) finding {
	const check = "warehouse"
	warehouse, done, err := platform.Warehouse(ctx, s.proc.Env)
	if err != nil {
		return finding{check, false, err.Error()}
	}
	defer done()
	temp, err := warehouse.MkTemp(ctx, "releases")
	if err == nil {
		err = warehouse.Discard(ctx, temp)
	}
	if err != nil {
		return finding{check, false, err.Error()}
	}
	return finding{check, true, strings.TrimSuffix(warehouse.URI("."), "/.") + " can be written"}
}

func (s *state) examineSpark(ctx context.Context) finding {
	const check = "spark"
	var cfg spark.Config
	if err := fn.Load(ctx, s.proc.Env, &cfg); err != nil {
		return finding{check, false, err.Error()}
	}
	if cfg.Server == "" {
		return finding{check, true, "none is named; run takes DuckDB, which needs a warehouse of local files"}
	}
	engine, err := spark.Open(ctx, cfg, s.proc.Log)
	if err != nil {
		return finding{check, false, err.Error()}
	}
	defer engine.Close(ctx)
	if err := engine.Ping(ctx); err != nil {
		return finding{check, false, err.Error()}
	}
	return finding{check, true, cfg.Server + " answers"}
}
