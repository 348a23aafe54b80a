package feed

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/almanac-data/almanac/functions/internal/kafka/link"
)

// Lag is how many records of the topics a group has not committed yet.
func Lag(ctx context.Context, c *link.Cluster, group string, topics []string) (int64, error) {
	committed, err := fetched(ctx, c, group, topics)
	if err != nil {
		return 0, fmt.Errorf("lag of %s: %w", group, err)
	}
	var lag int64
	for _, topic := range topics {
		ranges, err := c.Ranges(ctx, topic)
		if err != nil {
			return 0, fmt.Errorf("lag of %s: %w", group, err)
		}
		for p, r := range ranges {
			at := r.Start
			if o, ok := committed.Lookup(topic, int32(p)); ok && o.At >= r.Start {
				at = o.At
			}
			lag += max(r.End-at, 0)
		}
	}
	return lag, nil
}

// fetched are the offsets that a group has committed. One that never did has none.
func fetched(ctx context.Context, c *link.Cluster, group string, topics []string) (committed kadm.OffsetResponses, err error) {
	ctx, cancel := context.WithTimeout(ctx, link.AdminTimeout)
	defer cancel()
	err = patiently(ctx, func() (err error) {
		committed, err = c.Admin.FetchOffsetsForTopics(ctx, group, topics...)
		if err == nil {
			err = committed.Error()
		}
		return err
	})
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, fmt.Errorf("fetch offsets: %w", c.ExplainGroup(err, group, ""))
	}
	return committed, nil
}

// patiently tries again while the brokers ask for that: a new cluster needs a moment for its first coordinator of groups, and one that
// lost a broker for the next.
func patiently(ctx context.Context, do func() error) error {
	for {
		err := do()
		if err == nil || !kerr.IsRetriable(err) {
			return err
		}
		if link.Pause(ctx, 200*time.Millisecond) != nil {
			return err
		}
	}
}
