package doctor

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/duck"
	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/query"
	"github.com/almanac-data/almanac/functions/internal/query/parts"
	"github.com/almanac-data/almanac/functions/internal/spark"
	"github.com/almanac-data/almanac/functions/internal/store/layout"
	"github.com/almanac-data/almanac/functions/internal/table"
)

// sqlEngine binds SQL without running it.
type sqlEngine struct {
	name  string
	check func(context.Context, query.Query) (*arrow.Schema, error)
	close func(context.Context)
}

type sqlEngines []sqlEngine

func (all sqlEngines) close(ctx context.Context) {
	for _, e := range all {
		e.close(ctx)
	}
}

// openEngines opens DuckDB, and Spark where a server is configured: a text must mean something to each. Findings tell which cannot be had.
func openEngines(ctx context.Context, o *command.Options) (engines sqlEngines, wrong []finding) {
	local, err := duck.Open(duck.Options{Threads: 1})
	if err != nil {
		return nil, []finding{{"SQL engine DuckDB", false, err.Error()}}
	}
	engines = sqlEngines{{"DuckDB", local.Check, func(context.Context) { local.Close() }}}
	env, err := o.Variables()
	var cfg spark.Config
	if err == nil {
		err = fn.Load(ctx, env, &cfg)
	}
	if err == nil && cfg.Server == "" {
		return engines, nil
	}
	var remote *spark.Engine
	if err == nil {
		remote, err = spark.Open(ctx, cfg, slog.New(slog.DiscardHandler))
	}
	if err == nil {
		if err = remote.Ping(ctx); err != nil {
			remote.Close(ctx)
		}
	}
	if err != nil {
		return engines, []finding{{"SQL engine Spark", false, err.Error()}}
	}
	return append(engines, sqlEngine{"Spark", remote.Check, remote.Close}), nil
}

// examine binds the SQL of each query against the tables as they would be.
func (e sqlEngine) examine(ctx context.Context, d *dataset.Dataset) []finding {
	tables := map[string]*arrow.Schema{table.Rows: layout.Rows(d)}
	var found []finding
	for _, q := range slices.Concat(d.Aggregates, d.Releases) {
		check := fmt.Sprintf("%s %s on %s", d.Name, q.File, e.name)
		if unknown := slices.IndexFunc(q.Inputs, func(in dataset.Input) bool { return tables[in.Table] == nil }); unknown >= 0 {
			found = append(found, finding{check, false, fmt.Sprintf("it cannot be checked before %s is right, which it reads", q.Inputs[unknown].Table)})
			continue
		}
		schema, err := e.check(ctx, bindable(q, tables))
		if err != nil {
			found = append(found, finding{check, false, err.Error()})
			continue
		}
		if q.Split != "" && len(schema.FieldIndices(q.Split)) == 0 {
			found = append(found, finding{check, false, fmt.Sprintf("it has no column %q, which split in pipeline.yaml names", q.Split)})
			continue
		}
		if q.PartBy != "" {
			order := q.OrderBy
			if q.Split != "" {
				order = append([]string{q.Split}, order...)
			}
			if err := parts.Check(schema, order, q.PartBy); err != nil {
				found = append(found, finding{check, false, err.Error()})
				continue
			}
		}
		fields := append(schema.Fields(), arrow.Field{Name: table.Window, Type: arrow.FixedWidthTypes.Timestamp_us})
		tables[q.Name] = arrow.NewSchema(fields, nil)
		found = append(found, finding{check, true, fmt.Sprintf("%d columns", schema.NumFields())})
	}
	return found
}

func bindable(q dataset.Query, tables map[string]*arrow.Schema) query.Query {
	start := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
	bound := query.Query{Text: q.SQL, Start: start, End: start.AddDate(0, 1, 0), OrderBy: q.OrderBy}
	for _, in := range q.Inputs {
		column := table.EventTime
		if in.Table != table.Rows {
			column = table.Window
		}
		bound.Views = append(bound.Views, query.View{
			Name: in.Table, Schema: tables[in.Table], Column: column, From: start.Add(-in.Back), Until: bound.End,
		})
	}
	return bound
}
