package link

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// AdminTimeout bounds one administrative request.
const AdminTimeout = 30 * time.Second

// newLeader is how long a broker that has just begun to lead is asked for the end of its log.
const newLeader = 10 * time.Second

// Range is what a partition holds: offsets of [Start, End).
type Range struct {
	Start int64
	End   int64
}

// Ranges lists what the partitions of a topic hold.
func (c *Cluster) Ranges(ctx context.Context, topic string) ([]Range, error) {
	ctx, cancel := context.WithTimeout(ctx, AdminTimeout)
	defer cancel()
	for began := time.Now(); ; {
		ranges, err := c.ranges(ctx, topic)
		if err == nil {
			return ranges, nil
		}
		// A broker that has just begun to lead does not tell until it knows how much was acknowledged.
		asks := kerr.IsRetriable(err) && !errors.Is(err, kerr.UnknownTopicOrPartition) && time.Since(began) < newLeader
		if !asks || Pause(ctx, 50*time.Millisecond) != nil {
			return nil, fmt.Errorf("list offsets of %s: %w", topic, c.Explain(err, "Describe", topic))
		}
	}
}

func (c *Cluster) ranges(ctx context.Context, topic string) ([]Range, error) {
	starts, err := c.Admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	ends, err := c.Admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(starts.Error(), ends.Error()); err != nil {
		return nil, err
	}
	ranges := make([]Range, len(ends[topic]))
	for i := range ranges {
		ranges[i] = Range{starts[topic][int32(i)].Offset, ends[topic][int32(i)].Offset}
	}
	return ranges, nil
}

// Trim deletes the records of a partition before an offset. Trimming twice, or what is gone already, does nothing.
func (c *Cluster) Trim(ctx context.Context, topic string, partition int32, before int64) error {
	ctx, cancel := context.WithTimeout(ctx, AdminTimeout)
	defer cancel()
	var os kadm.Offsets
	os.AddOffset(topic, partition, before, -1)
	resp, err := c.Admin.DeleteRecords(ctx, os)
	if err == nil {
		err = resp.Error()
	}
	if errors.Is(err, kerr.OffsetOutOfRange) {
		ranges, rerr := c.Ranges(ctx, topic)
		if rerr == nil && int(partition) < len(ranges) && before <= ranges[partition].Start {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("trim %s/%d before %d: %w", topic, partition, before, c.Explain(err, "Delete", topic))
	}
	return nil
}

// Place names a partition.
type Place struct {
	Topic     string
	Partition int32
}
