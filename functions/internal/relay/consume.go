package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/almanac-data/almanac/functions/internal/kafka"
)

// Group is the consumer group of the source of a function.
func Group(name string) string { return "almanac-" + name }

// Ask is an error where topics are missing, or rights on them or on the source's group.
func Ask(ctx context.Context, cluster *kafka.Cluster, name string, topics []string) error {
	for _, topic := range topics {
		if _, err := cluster.Lookup(ctx, topic); err != nil {
			return err
		}
	}
	_, err := cluster.Lag(ctx, Group(name), topics)
	return err
}

// Consume reads topics as a member of the source's group until ctx ends. Without a sink for dead letters, it keeps them in their topic itself.
func (s KafkaSource) Consume(ctx context.Context, cluster *kafka.Cluster, topics []string) error {
	member, err := cluster.Join(Group(s.Name), topics, s.Log)
	if err != nil {
		return err
	}
	defer member.Close()
	if s.DeadLetter != "" {
		return s.Run(ctx, member)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for dead letters: %w", err)
	}
	s.DeadLetter = "http://" + l.Addr().String()
	server := &http.Server{Handler: DeadLetterSink(cluster.Bury, s.Log), ReadHeaderTimeout: 10 * time.Second}
	var g errgroup.Group
	g.Go(func() error { return server.Serve(l) })
	err = s.Run(ctx, member)
	err = errors.Join(err, server.Close())
	if ended := g.Wait(); !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}
