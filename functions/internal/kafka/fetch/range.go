package fetch

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/almanac-data/almanac/functions/internal/kafka/fault"
	"github.com/almanac-data/almanac/functions/internal/kafka/link"
)

// A range whose next record does not come within patience, through all changes of its leader, ends with an error; one answer may take as long as turn.
const (
	patience = 30 * time.Second
	turn     = 10 * time.Second
	pause    = 500 * time.Millisecond
)

// Range yields the records of a partition in a range that the cluster has said it has, as far as compaction has left them, and finds the leader again
// where it moves. Nothing comes after an error.
func Range(ctx context.Context, c *link.Cluster, topic string, partition int32, r link.Range) iter.Seq2[*kgo.Record, error] {
	return func(yield func(*kgo.Record, error) bool) {
		since := time.Now()
		for at := r.Start; at < r.End; {
			part, err := once(ctx, c, topic, partition, at)
			for _, rec := range part.Records {
				if rec.Offset < r.End && !yield(rec, nil) {
					return
				}
			}
			if part.Next > at {
				at, since = part.Next, time.Now()
				continue
			}
			c.Forget(topic)
			over := time.Since(since) > patience
			if err == nil {
				err = errEmpty
			} else {
				err = c.Explain(err, "Read", topic)
				over = over || !fault.Passing(err)
			}
			if over || link.Pause(ctx, pause) != nil {
				yield(nil, fmt.Errorf("read %s/%d at offset %d of %d: %w", topic, partition, at, r.End, err))
				return
			}
		}
	}
}

var errEmpty = errors.New("the broker shows nothing there")

func once(ctx context.Context, c *link.Cluster, topic string, partition int32, offset int64) (Part, error) {
	t, err := c.Topic(ctx, topic)
	if err != nil {
		return Part{}, err
	}
	if partition < 0 || int(partition) >= len(t.Leaders) {
		return Part{}, fmt.Errorf("it has %d partitions", len(t.Leaders))
	}
	ctx, cancel := context.WithTimeout(ctx, turn)
	defer cancel()
	parts, err := Do(ctx, c.Raw, t.Leaders[partition], []Position{{Topic: t, Partition: partition, Offset: offset}}, 250*time.Millisecond)
	if err != nil {
		return Part{}, err
	}
	return parts[0], parts[0].Err
}
