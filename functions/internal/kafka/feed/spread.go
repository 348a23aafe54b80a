package feed

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/almanac-data/almanac/functions/internal/kafka/link"
)

// Spread copies the records that a member gets to the partitions of another topic, by their keys, until ctx ends: facts lie in one
// partition, which only one member can have, and so the members of another group share what wakes them. Each record is copied at least once.
// Tombstones are not: they wake nobody. What goes wrong is told and tried again; tell(nil) says that it went well after all.
func Spread(ctx context.Context, c *link.Cluster, from *Member, to string, tell func(error)) error {
	failed := false
	say := func(err error) {
		if err != nil || failed {
			tell(err)
		}
		failed = err != nil
	}
	t, err := c.Topic(ctx, to)
	for err != nil && ctx.Err() == nil {
		if errors.Is(err, link.ErrNoTopic) {
			return fmt.Errorf("spread to %s: %w", to, err)
		}
		say(fmt.Errorf("spread hints to %s: %w", to, err))
		_ = link.Pause(ctx, time.Second) // the loop looks at ctx
		t, err = c.Topic(ctx, to)
	}
	for ctx.Err() == nil {
		records, err := from.Next(ctx)
		if err != nil {
			err = fmt.Errorf("read hints for %s: %w", to, err)
		}
		for err == nil && len(records) > 0 {
			if err = spread(ctx, c, from, t, records); err == nil || ctx.Err() != nil {
				break
			}
			say(fmt.Errorf("spread hints to %s: %w", to, err))
			err = link.Pause(ctx, time.Second)
		}
		if ctx.Err() == nil {
			say(err)
		}
		if err != nil {
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
