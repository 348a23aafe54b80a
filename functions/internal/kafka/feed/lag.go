package feed

import (
	"context"
	"fmt"

	"github.com/almanac-data/almanac/functions/internal/kafka/link"
)

// Lag is how many records of the topics a group has not committed yet.
func Lag(ctx context.Context, c *link.Cluster, group string, topics []string) (int64, error) {
	committed, err := committed(ctx, c, group, topics)
	if err != nil {
		return 0, fmt.Errorf("lag of %s: %w", group, c.ExplainGroup(err, group, ""))
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
