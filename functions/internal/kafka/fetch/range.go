package fetch

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/almanac-data/almanac/functions/internal/kafka/link"
)

// tries is how often a leader that is gone is looked for again, and pause how long after the time before.
const (
	tries = 20
	pause = 500 * time.Millisecond
)

var errSilent = errors.New("its leader does not answer")

// Range yields the records of a partition in a range that the cluster has said it has, as far as compaction has left them, and finds the leader again
// where it moves. Nothing comes after an error.
func Range(ctx context.Context, c *link.Cluster, topic string, partition int32, r link.Range) iter.Seq2[*kgo.Record, error] {
	return func(yield func(*kgo.Record, error) bool) {
		failed := 0
		for at := r.Start; at < r.End; {
			part, err := once(ctx, c, topic, partition, at)
			if err != nil {
				c.Forget(topic)
				if failed++; failed == tries || !Passing(err) && !errors.Is(err, errSilent) {
					yield(nil, fmt.Errorf("read %s/%d at offset %d: %w", topic, partition, at, c.Explain(err, "Read", topic)))
					return
				}
				if err := link.Pause(ctx, pause); err != nil {
					yield(nil, err)
					return
				}
				continue
			}
			for _, rec := range part.Records {
				if rec.Offset < r.End && !yield(rec, nil) {
					return
				}
			}
			if failed++; part.Next > at {
				failed = 0
			}
			at = part.Next
			if failed == tries {
				yield(nil, fmt.Errorf("read %s/%d: nothing comes after offset %d, and it should end at %d", topic, partition, at, r.End))
				return
			}
		}
	}
}

func once(ctx context.Context, c *link.Cluster, topic string, partition int32, offset int64) (Part, error) {
	t, err := c.Topic(ctx, topic)
	if err != nil {
		return Part{}, err
	}
	if partition < 0 || int(partition) >= len(t.Leaders) {
		return Part{}, fmt.Errorf("it has %d partitions", len(t.Leaders))
	}
	parts, err := Do(ctx, c.Raw, t.Leaders[partition], []Position{{Topic: t, Partition: partition, Offset: offset}}, 250*time.Millisecond)
	if err != nil {
		return Part{}, fmt.Errorf("%w: %w", errSilent, err)
	}
	return parts[0], parts[0].Err
}
