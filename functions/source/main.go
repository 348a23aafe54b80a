// Command source wakes a function for each record of Kafka topics, as Knative's KafkaSource does: it is what a ContainerSource runs.
package main

import (
	"context"

	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/kafka"
	"github.com/almanac-data/almanac/functions/internal/platform/stream"
	"github.com/almanac-data/almanac/functions/internal/relay"
)

func main() { fn.Main("source", run) }

func run(ctx context.Context, p *fn.Process) error {
	var cfg relay.Config
	if err := fn.Load(ctx, p.Env, &cfg); err != nil {
		return err
	}
	ask := func(ctx context.Context, c *kafka.Cluster) error {
		return relay.Ask(ctx, c, cfg.Name, cfg.Topics)
	}
	cluster, err := stream.Open(ctx, p, ask)
	if err != nil {
		return err
	}
	defer cluster.Close()
	client := relay.NewClient(nil)
	defer client.CloseIdleConnections()
	source := cfg.Source(client, p.Log)
	source.Done = func(topic, outcome string) { p.Meter.Sent(cfg.Name, topic, outcome) }
	return p.Beside(ctx, func(ctx context.Context) error { return source.Consume(ctx, cluster, cfg.Topics) })
}
