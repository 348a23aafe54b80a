// Package fetch reads records at places that are known, by topic id.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/almanac-data/almanac/functions/internal/kafka/link"
)

// fetchBytes bounds the answer to one fetch; the broker sends a batch that is greater whole. leastBytes is the least that is asked for, and
// envelope about what a batch of one block has besides its value.
const (
	fetchBytes = 1 << 20
	leastBytes = 16 << 10
	Envelope   = 1 << 10
)

// Position is a place in a partition that is read from.
type Position struct {
	Topic     link.Topic
	Partition int32
	Offset    int64
	Most      int64 // bytes that are wanted from there on, about; 0 for as many as fit
}

// bytes bounds the answer for a position: what is not wanted is not sent.
func (p Position) bytes() int32 {
	if p.Most == 0 {
		return fetchBytes
	}
	return int32(min(max(p.Most, leastBytes), fetchBytes))
}

// Part is what a broker answered for one position.
type Part struct {
	Records []*kgo.Record
	Next    int64 // offset to go on at
	End     int64 // high watermark
	Err     error
}

// epoch is that in which the leader is known to lead, or -1.
func (p Position) epoch() int32 {
	if int(p.Partition) < len(p.Topic.Epochs) {
		return p.Topic.Epochs[p.Partition]
	}
	return -1
}

// Do asks one broker for records at positions of which it is the leader, and waits up to wait until there are any. Topics are
// named by their ids, so a topic of the same name that was made anew never answers; nor does a broker that leads no more, which would
// have less than was acknowledged. The answers are in the order of the positions.
//
// The records' values lie in the bytes of the answer.
func Do(ctx context.Context, cl *kgo.Client, leader int32, at []Position, wait time.Duration) ([]Part, error) {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis = int32(wait.Milliseconds())
	req.MinBytes = 1
	req.MaxBytes = fetchBytes
	for _, p := range at {
		rp := kmsg.NewFetchRequestTopicPartition()
		rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes, rp.CurrentLeaderEpoch = p.Partition, p.Offset, p.bytes(), p.epoch()
		rt := kmsg.NewFetchRequestTopic()
		rt.Topic, rt.TopicID = p.Topic.Name, p.Topic.ID
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
	}
	kresp, err := cl.Broker(int(leader)).RetriableRequest(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("fetch from broker %d: %w", leader, err)
	}
	resp, ok := kresp.(*kmsg.FetchResponse)
	if !ok {
		return nil, fmt.Errorf("fetch from broker %d: answered by a %T", leader, kresp)
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return nil, fmt.Errorf("fetch from broker %d: %w", leader, err)
	}
	parts := make([]Part, len(at))
	for i, p := range at {
		parts[i] = p.decode(resp)
	}
	return parts, nil
}

// Whole asks one broker whether it tells of all that was acknowledged at positions of which it is the leader. One that has just begun to lead has
// all records, but shows fewer until the others have told it how far they are. The error is a passing one until then.
func Whole(ctx context.Context, cl *kgo.Client, leader int32, at []Position) error {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	for _, p := range at {
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.CurrentLeaderEpoch, rp.Timestamp = p.Partition, p.epoch(), -1
		rt := kmsg.NewListOffsetsRequestTopic()
		rt.Topic = p.Topic.Name
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
	}
	kresp, err := cl.Broker(int(leader)).RetriableRequest(ctx, req)
	if err != nil {
		return fmt.Errorf("list offsets of broker %d: %w", leader, err)
	}
	resp, ok := kresp.(*kmsg.ListOffsetsResponse)
	if !ok {
		return fmt.Errorf("list offsets of broker %d: answered by a %T", leader, kresp)
	}
	for _, rt := range resp.Topics {
		for _, rp := range rt.Partitions {
			if err := kerr.ErrorForCode(rp.ErrorCode); err != nil {
				return fmt.Errorf("list offsets of %s/%d: %w", rt.Topic, rp.Partition, err)
			}
		}
	}
	return nil
}

var decompressor = kgo.DefaultDecompressor()

// decode finds the answer for a position. An absent one is as good as an empty one.
func (p Position) decode(resp *kmsg.FetchResponse) Part {
	for i := range resp.Topics {
		rt := &resp.Topics[i]
		if resp.Version >= 13 && rt.TopicID != p.Topic.ID || resp.Version < 13 && rt.Topic != p.Topic.Name {
			continue
		}
		for j := range rt.Partitions {
			rp := &rt.Partitions[j]
			if rp.Partition != p.Partition {
				continue
			}
			fp, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Topic: p.Topic.Name, Partition: p.Partition, Offset: p.Offset},
				rp, decompressor, nil)
			return Part{Records: fp.Records, Next: next, End: fp.HighWatermark, Err: fp.Err}
		}
	}
	return Part{Next: p.Offset, End: p.Offset, Err: kerr.UnknownTopicOrPartition}
}

// renewed says that an error means that the topic is not the one that was asked for.
func renewed(err error) bool {
	return errors.Is(err, kerr.UnknownTopicID) || errors.Is(err, kerr.InconsistentTopicID)
}

// Passing says that asking again, perhaps another broker, may help.
func Passing(err error) bool {
	return kerr.IsRetriable(err) || renewed(err) || errors.Is(err, kerr.UnknownTopicOrPartition)
}
