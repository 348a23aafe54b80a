// Package feed hands out the records of topics of hints to the sources that wake functions.
package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/almanac-data/almanac/functions/internal/kafka/link"
)

// Record is one record of a topic, as a source passes it on.
type Record struct {
	link.Place

	Offset  int64
	Key     []byte
	Value   []byte
	Headers []Header
	Time    time.Time
	Term    int // counts the times that a member got the partition; 0 where there is no membership
}

// Header is one header of a record. A nil Value is a null.
type Header struct {
	Key   string
	Value []byte
}

// Feed hands out the records of topics of hints, from where a group has committed to; of facts and dues that is, not of blocks.
// It reads whole partitions by itself, without membership in the group, so a restart waits for nobody. Close ends it.
type Feed struct {
	c     *link.Cluster
	cl    *kgo.Client
	group string
	log   *slog.Logger
}

// feedBatch bounds the records of one answer of Next, as max.poll.records does.
const feedBatch = 50

// Bounds of one fetch.
const (
	fetchBytes = 8 << 20
	fetchWait  = 5 * time.Second
)

// Open starts to read for a group. At first use it starts with the first record that is there, by its offset; the same where what
// was committed is not in the log any more, which is logged: nothing but time depends on a hint.
func Open(ctx context.Context, c *link.Cluster, group string, topics []string, log *slog.Logger) (*Feed, error) {
	from, err := starts(ctx, c, group, topics, log)
	if err != nil {
		return nil, fmt.Errorf("feed %s: %w", group, err)
	}
	cl, err := c.Client(kgo.ConsumePartitions(from), kgo.FetchMaxBytes(fetchBytes), kgo.FetchMaxWait(fetchWait))
	if err != nil {
		return nil, fmt.Errorf("feed %s: %w", group, err)
	}
	return &Feed{c: c, cl: cl, group: group, log: log}, nil
}

// starts are the offsets that a group goes on at.
func starts(ctx context.Context, c *link.Cluster, group string, topics []string, log *slog.Logger) (map[string]map[int32]kgo.Offset, error) {
	committed, err := fetched(ctx, c, group, topics)
	if err != nil {
		return nil, err
	}
	from := map[string]map[int32]kgo.Offset{}
	for _, topic := range topics {
		ranges, err := c.Ranges(ctx, topic)
		if err != nil {
			return nil, err
		}
		from[topic] = map[int32]kgo.Offset{}
		for p, r := range ranges {
			at := r.Start
			if o, ok := committed.Lookup(topic, int32(p)); ok && o.At >= 0 {
				if o.At >= r.Start && o.At <= r.End {
					at = o.At
				} else {
					log.WarnContext(ctx, "committed offset is outside the log, starting over",
						"group", group, "topic", topic, "partition", p, "offset", o.At, "start", r.Start, "end", r.End)
				}
			}
			from[topic][int32(p)] = kgo.NewOffset().At(at)
		}
	}
	return from, nil
}

// Next waits for records. An error may pass: call it again.
func (f *Feed) Next(ctx context.Context) ([]Record, error) {
	fetches := f.cl.PollRecords(ctx, feedBatch)
	if err := ctx.Err(); err != nil && fetches.NumRecords() == 0 {
		return nil, err
	}
	records := recordsOf(fetches)
	var errs []error
	fetches.EachError(func(topic string, partition int32, err error) {
		if errors.Is(err, kerr.OffsetOutOfRange) {
			err = f.restart(ctx, topic, partition)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("feed %s: %s/%d: %w", f.group, topic, partition, f.c.Explain(err, "Read", topic)))
		}
	})
	if len(records) > 0 {
		return records, nil // an error comes again
	}
	return nil, errors.Join(errs...)
}

func recordsOf(fetches kgo.Fetches) []Record {
	records := make([]Record, 0, fetches.NumRecords())
	fetches.EachRecord(func(r *kgo.Record) {
		hs := make([]Header, len(r.Headers))
		for i, h := range r.Headers {
			hs[i] = Header(h)
		}
		records = append(records, Record{link.Place{Topic: r.Topic, Partition: r.Partition}, r.Offset, r.Key, r.Value, hs, r.Timestamp, 0})
	})
	return records
}

// restart begins anew with a partition whose records were trimmed under the reader.
func (f *Feed) restart(ctx context.Context, topic string, partition int32) error {
	ranges, err := f.c.Ranges(ctx, topic)
	if err != nil {
		return err
	}
	if int(partition) >= len(ranges) {
		return link.ErrNoTopic
	}
	f.log.WarnContext(ctx, "offset is outside the log, starting over", "group", f.group, "topic", topic, "partition", partition, "start", ranges[partition].Start)
	f.cl.RemoveConsumePartitions(map[string][]int32{topic: {partition}})
	f.cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().At(ranges[partition].Start)}})
	return nil
}

// Commit notes for the group which offset of each place comes next.
func (f *Feed) Commit(ctx context.Context, next map[link.Place]int64) error {
	ctx, cancel := context.WithTimeout(ctx, link.AdminTimeout)
	defer cancel()
	var os kadm.Offsets
	for p, at := range next {
		os.AddOffset(p.Topic, p.Partition, at, -1)
	}
	err := patiently(ctx, func() error {
		resp, err := f.c.Admin.CommitOffsets(ctx, f.group, os)
		if err == nil {
			err = resp.Error()
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("feed %s: commit offsets: %w", f.group, f.c.ExplainGroup(err, f.group, ""))
	}
	return nil
}

// Holds says that a record is this reader's to pass on: nobody takes partitions away from it.
func (f *Feed) Holds(Record) bool { return true }

// Close ends the reading.
func (f *Feed) Close() { f.cl.Close() }
