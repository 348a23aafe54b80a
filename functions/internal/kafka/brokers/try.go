package brokers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/almanac-data/almanac/functions/internal/kafka/link"
)

// TryPrefix begins the names of the topics that Try makes.
const TryPrefix = "almanac.try."

// Try makes a topic of its own with a partition for each broker, writes a record to each and reads them back, and removes the topic. It returns how many
// records it had back. A topic that cannot be removed is an error, too.
func Try(ctx context.Context, c *link.Cluster) (records int, err error) {
	ctx, cancel := context.WithTimeout(ctx, link.AdminTimeout)
	defer cancel()
	found, err := c.Admin.ListBrokers(ctx)
	if err != nil {
		return 0, fmt.Errorf("ask for brokers: %w", c.Explain(err, "Describe", ""))
	}
	topic := TryPrefix + rand.Text()
	if _, err := c.Admin.CreateTopic(ctx, int32(len(found)), c.Copies(), nil, topic); err != nil {
		return 0, fmt.Errorf("create topic %s: %w", topic, c.Explain(err, "Create", topic))
	}
	defer func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), link.AdminTimeout)
		defer cancel()
		if _, gone := c.Admin.DeleteTopic(clean, topic); gone != nil {
			err = errors.Join(err, fmt.Errorf("remove topic %s: %w", topic, c.Explain(gone, "Delete", topic)))
		}
	}()
	return roundtrip(ctx, c, topic, int32(len(found)))
}

// roundtrip writes a record to each partition, and reads them.
func roundtrip(ctx context.Context, c *link.Cluster, topic string, partitions int32) (int, error) {
	want := map[string]bool{}
	from := map[int32]kgo.Offset{}
	for p := range partitions {
		text := rand.Text()
		want[text], from[p] = true, kgo.NewOffset().At(0)
		if err := c.Facts.ProduceSync(ctx, &kgo.Record{Topic: topic, Partition: p, Value: []byte(text)}).FirstErr(); err != nil {
			return 0, fmt.Errorf("write to partition %d of %s: %w", p, topic, c.Unwritten(ctx, topic, err))
		}
	}
	reader, err := c.Client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
	if err != nil {
		return 0, err
	}
	defer reader.Close()
	began := time.Now()
	for len(want) > 0 {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return 0, fmt.Errorf("%d of %d records of %s are not there after %s: %w", len(want), partitions, topic, time.Since(began).Round(time.Second),
				c.Explain(err, "Read", topic))
		}
		fetches.EachRecord(func(r *kgo.Record) { delete(want, string(r.Value)) })
	}
	return int(partitions), nil
}
