package doctor

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/command/admin"
	"github.com/almanac-data/almanac/functions/internal/command/state"
	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/platform"
	"github.com/almanac-data/almanac/functions/internal/platform/gate"
	"github.com/almanac-data/almanac/functions/internal/spark"
)

// examineCluster asks each server that --config names, and says whether the configuration can be used at all.
func examineCluster(ctx context.Context, o *command.Options) (found []finding, ok bool) {
	check := "configuration " + o.Config
	file, err := o.Settings()
	if err != nil {
		return []finding{{check, false, err.Error()}}, false
	}
	found = append(found, finding{check, true, fmt.Sprintf("%d variables", len(file.Env()))})
	env, err := o.Environment()
	if err != nil {
		return append(found, finding{check, false, err.Error()}), false
	}
	s := &state.State{}
	defer func() { _ = s.Close() }() // nothing was written
	if s.Proc, err = s.NewProcess(ctx, o, env, slog.New(slog.DiscardHandler)); err != nil {
		return append(found, finding{"tracing", false, err.Error()}), false
	}
	var common fn.Common
	if err := fn.Load(ctx, env, &common); err != nil {
		return append(found, finding{check, false, err.Error()}), false
	}
	found = append(found, examineKafka(ctx, o)...)
	return append(found, examineWarehouse(ctx, s.Proc), examineSpark(ctx, s.Proc), examineServe(ctx, o, s.Proc)), true
}

// examineServe looks at who is let in to the HTTP API.
func examineServe(ctx context.Context, o *command.Options, p *fn.Process) finding {
	const check = "serve"
	all, done, wrong := examineDatasets(ctx, o)
	if wrong == nil { // else it is told elsewhere
		defer done()
	}
	names := make([]string, 0, len(all))
	for _, d := range all {
		names = append(names, d.Name)
	}
	detail, err := gate.Examine(ctx, p, names)
	if err != nil {
		return finding{check, false, err.Error()}
	}
	return finding{check, true, detail}
}

// examineWarehouse makes a folder, which shows that this user may write, and removes it.
func examineWarehouse(ctx context.Context, p *fn.Process) finding {
	const check = "warehouse"
	warehouse, done, err := platform.Warehouse(ctx, p.Env)
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

func examineSpark(ctx context.Context, p *fn.Process) finding {
	const check = "spark"
	var cfg spark.Config
	if err := fn.Load(ctx, p.Env, &cfg); err != nil {
		return finding{check, false, err.Error()}
	}
	if cfg.Server == "" {
		return finding{check, true, "none is named; run takes DuckDB, which needs a warehouse of local files"}
	}
	engine, err := spark.Open(ctx, cfg, p.Log)
	if err != nil {
		return finding{check, false, err.Error()}
	}
	defer engine.Close(ctx)
	if err := engine.Ping(ctx); err != nil {
		return finding{check, false, err.Error()}
	}
	return finding{check, true, cfg.Server + " answers"}
}

// examineKafka looks at the cluster that --config or ALMANAC_KAFKA names, if one does.
func examineKafka(ctx context.Context, o *command.Options) []finding {
	if name, _ := o.Env.Lookup("ALMANAC_KAFKA"); o.Config == "" && name == "" {
		return nil
	}
	const check = "kafka"
	found, err := admin.Findings(ctx, o)
	if err != nil {
		return []finding{{check, false, err.Error()}}
	}
	if len(found) == 0 {
		return []finding{{check, true, "lets this user in; all topics are as they must be"}}
	}
	lines := make([]string, len(found))
	for i, f := range found {
		lines[i] = f.String()
	}
	return []finding{{check, false, strings.Join(lines, "\n")}}
}
