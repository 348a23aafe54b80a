package feed

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/almanac-data/almanac/functions/internal/kafka/link"
)

// Spread copies the records that a member gets to the partitions of another topic, by their keys, until ctx ends: facts lie in one
// partition, which only one member can have, and so the members of another group share what wakes them. Each record is copied at least once.
// Tombstones are not: they wake nobody.
func Spread(ctx context.Context, c *link.Cluster, from *Member, to string, log *slog.Logger) error {
	t, err := c.Topic(ctx, to)
	for err != nil && ctx.Err() == nil {
		if errors.Is(err, link.ErrNoTopic) {
			return fmt.Errorf("spread to %s: %w", to, err)
		}
		log.WarnContext(ctx, "hints are not spread, trying again", "topic", to, "error", err)
		_ = link.Pause(ctx, time.Second) // the loop looks at ctx
		t, err = c.Topic(ctx, to)
	}
	for ctx.Err() == nil {
		records, err := from.Next(ctx)
		for err == nil && len(records) > 0 {
			if err = spread(ctx, c, from, t, records); err == nil || link.Pause(ctx, time.Second) != nil {
				break
			}
			log.WarnContext(ctx, "hints are not spread, trying again", "topic", to, "error", err)
			err = nil
		}
		if err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, "hints cannot be read", "topic", to, "error", err)
			_ = link.Pause(ctx, time.Second) // the loop looks at ctx
		}
	}
	return nil
}

// spread copies records, and commits them once the copies are acknowledged.
func spread(ctx context.Context, c *link.Cluster, from *Member, to link.Topic, records []Record) error {
	next := map[link.Place]int64{}
	copies := make([]*kgo.Record, 0, len(records))
	for _, r := range records {
		next[r.Place] = r.Offset + 1
		if r.Value == nil {
			continue
		}
		headers := make([]kgo.RecordHeader, len(r.Headers))
		for i, h := range r.Headers {
			headers[i] = kgo.RecordHeader(h)
		}
		copies = append(copies, &kgo.Record{Topic: to.Name, Partition: partition(r.Key, len(to.Leaders)), Key: r.Key, Value: r.Value, Headers: headers})
	}
	if err := c.Facts.ProduceSync(ctx, copies...).FirstErr(); err != nil {
		return c.Unwritten(ctx, to.Name, err)
	}
	return from.Commit(ctx, next)
}

// partition is the one of n for a key.
func partition(key []byte, n int) int32 {
	h := fnv.New32a()
	_, _ = h.Write(key) // never fails
	return int32(h.Sum32() % uint32(n))
}
