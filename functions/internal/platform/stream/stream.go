// Package stream opens Kafka alone, for programs that stand on nothing else.
package stream

import (
	"context"
	"strings"

	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/kafka"
)

// Server names the cluster as a person knows it.
func Server(s kafka.Settings) string {
	return "Kafka at " + strings.Join(s.Brokers, ", ") + " (ALMANAC_KAFKA)"
}

// Certificates are the files of certificates that Kafka is reached by, by their variables.
func Certificates(s kafka.Settings) map[string]string {
	return map[string]string{"ALMANAC_KAFKA_CA": s.CA, "ALMANAC_KAFKA_CERT": s.Cert}
}

// Open opens the cluster that the configuration of the process names, once it can answer what the caller asks it, and makes the process ready while
// it can. The caller closes it.
func Open(ctx context.Context, p *fn.Process, ask func(context.Context, *kafka.Cluster) error) (cluster *kafka.Cluster, err error) {
	var cfg kafka.Settings
	if err := fn.Load(ctx, p.Env, &cfg); err != nil {
		return nil, err
	}
	p.Meter.Certificates(Certificates(cfg))
	err = p.Await(ctx, Server(cfg), kafka.Passing, func(ctx context.Context) error {
		if cluster, err = kafka.Open(ctx, cfg.Config(p.Name, p.Now)); err != nil {
			return err
		}
		if err = ask(ctx, cluster); err != nil {
			cluster.Close()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	p.Ready("kafka", func(ctx context.Context) error { return ask(ctx, cluster) })
	return cluster, nil
}
