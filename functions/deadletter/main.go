// Command deadletter keeps the events that no function could handle, for `almanac deadletters`: it is the dead-letter sink of KafkaSources.
package main

import (
	"context"
	"net/http"

	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/kafka"
	"github.com/almanac-data/almanac/functions/internal/kafka/letters"
	"github.com/almanac-data/almanac/functions/internal/platform/stream"
	"github.com/almanac-data/almanac/functions/internal/problem"
	"github.com/almanac-data/almanac/functions/internal/relay"
)

func main() { fn.Main("deadletter", run) }

func run(ctx context.Context, p *fn.Process) error {
	ask := func(ctx context.Context, c *kafka.Cluster) error {
		_, err := c.Lookup(ctx, letters.Topic)
		return err
	}
	cluster, err := stream.Open(ctx, p, ask)
	if err != nil {
		return err
	}
	defer cluster.Close()
	mux := http.NewServeMux()
	mux.Handle("/{$}", relay.DeadLetterSink(relay.Counted(cluster.Bury, p.Meter.DeadLetter), p.Log))
	mux.Handle("/", problem.NotFound("send events to /"))
	return p.ServeHTTP(ctx, p.Instrument(mux))
}
