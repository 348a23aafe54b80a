package platform

import (
	"context"

	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/spark"
)

// Spark opens the Spark server that a configuration names, once it answers, and makes the process ready while it does. The caller closes it.
func Spark(ctx context.Context, p *fn.Process, cfg spark.Config) (*spark.Engine, error) {
	engine, err := spark.Open(ctx, cfg, p.Log)
	if err != nil {
		return nil, err
	}
	if err := p.Await(ctx, "Spark at "+cfg.Server+" (ALMANAC_SPARK)", spark.Passing, engine.Ping); err != nil {
		engine.Close(ctx)
		return nil, err
	}
	p.Ready("spark", engine.Ping)
	return engine, nil
}
