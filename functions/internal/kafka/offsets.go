package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// adminTimeout bounds one administrative request.
const adminTimeout = 30 * time.Second

// starts lists the first offset of each position's partition.
func (c *Cluster) starts(ctx context.Context, at []position) ([]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	names := make([]string, len(at))
	for i, p := range at {
		names[i] = p.topic.name
	}
	listed, err := c.admin.ListStartOffsets(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("list start offsets: %w", err)
	}
	starts := make([]int64, len(at))
	for i, p := range at {
		o, ok := listed.Lookup(p.topic.name, p.partition)
		if !ok {
			return nil, fmt.Errorf("list start offsets of %s: no answer", p.topic.name)
		}
		if o.Err != nil {
			return nil, fmt.Errorf("list start offsets of %s: %w", p.topic.name, o.Err)
		}
		starts[i] = o.Offset
	}
	return starts, nil
}

// Range is what a partition holds: offsets of [Start, End).
type Range struct {
	Start int64
	End   int64
}

// Ranges lists what the partitions of a topic hold.
func (c *Cluster) Ranges(ctx context.Context, topic string) ([]Range, error) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	starts, err := c.admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("list start offsets of %s: %w", topic, err)
	}
	ends, err := c.admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("list end offsets of %s: %w", topic, err)
	}
	if err := errors.Join(starts.Error(), ends.Error()); err != nil {
		return nil, fmt.Errorf("list offsets of %s: %w", topic, err)
	}
	ranges := make([]Range, len(ends[topic]))
	for i := range ranges {
		ranges[i] = Range{starts[topic][int32(i)].Offset, ends[topic][int32(i)].Offset}
	}
	return ranges, nil
}

// Trim deletes the records of a partition before an offset. Trimming twice, or what is gone already, does nothing.
func (c *Cluster) Trim(ctx context.Context, topic string, partition int32, before int64) error {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	var os kadm.Offsets
	os.AddOffset(topic, partition, before, -1)
	resp, err := c.admin.DeleteRecords(ctx, os)
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
		return fmt.Errorf("trim %s/%d before %d: %w", topic, partition, before, err)
	}
	return nil
}
