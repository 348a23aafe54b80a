package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetchBytes bounds the answer to one fetch; the broker sends a batch that is greater whole. leastBytes is the least that is asked for, and
// envelope about what a batch of one block has besides its value.
const (
	fetchBytes = 1 << 20
	leastBytes = 16 << 10
	envelope   = 1 << 10
)

// position is a place in a partition that is read from.
type position struct {
	topic     topic
	partition int32
	offset    int64
	most      int64 // bytes that are wanted from there on, about; 0 for as many as fit
}

// bytes bounds the answer for a position: what is not wanted is not sent.
func (p position) bytes() int32 {
	if p.most == 0 {
		return fetchBytes
	}
	return int32(min(max(p.most, leastBytes), fetchBytes))
}

// part is what a broker answered for one position.
type part struct {
	records []*kgo.Record
	next    int64 // offset to go on at
	end     int64 // high watermark
	err     error
}

// fetch asks one broker for records at positions of which it is the leader, and waits up to wait until there are any. Topics are
// named by their ids, so a topic of the same name that was made anew never answers. The answers are in the order of the positions.
//
// The records' values lie in the bytes of the answer.
func fetch(ctx context.Context, cl *kgo.Client, leader int32, at []position, wait time.Duration) ([]part, error) {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis = int32(wait.Milliseconds())
	req.MinBytes = 1
	req.MaxBytes = fetchBytes
	for _, p := range at {
		rp := kmsg.NewFetchRequestTopicPartition()
		rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes = p.partition, p.offset, p.bytes()
		rt := kmsg.NewFetchRequestTopic()
		rt.Topic, rt.TopicID = p.topic.name, p.topic.id
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
	parts := make([]part, len(at))
	for i, p := range at {
		parts[i] = p.decode(resp)
	}
	return parts, nil
}

var decompressor = kgo.DefaultDecompressor()

// decode finds the answer for a position. An absent one is as good as an empty one.
func (p position) decode(resp *kmsg.FetchResponse) part {
	for i := range resp.Topics {
		rt := &resp.Topics[i]
		if resp.Version >= 13 && rt.TopicID != p.topic.id || resp.Version < 13 && rt.Topic != p.topic.name {
			continue
		}
		for j := range rt.Partitions {
			rp := &rt.Partitions[j]
			if rp.Partition != p.partition {
				continue
			}
			fp, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Topic: p.topic.name, Partition: p.partition, Offset: p.offset},
				rp, decompressor, nil)
			return part{records: fp.Records, next: next, end: fp.HighWatermark, err: fp.Err}
		}
	}
	return part{next: p.offset, end: p.offset, err: kerr.UnknownTopicOrPartition}
}

// renewed says that an error means that the topic is not the one that was asked for.
func renewed(err error) bool {
	return errors.Is(err, kerr.UnknownTopicID) || errors.Is(err, kerr.InconsistentTopicID)
}

// passing says that asking again, perhaps another broker, may help.
func passing(err error) bool {
	return kerr.IsRetriable(err) || renewed(err) || errors.Is(err, kerr.UnknownTopicOrPartition)
}
