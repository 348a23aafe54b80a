package link

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Topic is what a request needs to know of one.
type Topic struct {
	Name    string
	ID      [16]byte
	Leaders []int32 // by partition
	Epochs  []int32 // how often each partition has changed its leader
}

// HexID is the id as claims name it.
func (t Topic) HexID() string { return hex.EncodeToString(t.ID[:]) }

// ErrNoTopic says that the cluster does not have a topic.
var ErrNoTopic = errors.New("topic does not exist")

// metadata asks a cluster, or one broker of it, what it has of the topics; without any, only for its id and brokers.
func metadata(ctx context.Context, cl kmsg.Requestor, names ...string) (*kmsg.MetadataResponse, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	for _, name := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = new(name)
		req.Topics = append(req.Topics, t)
	}
	return req.RequestWith(ctx, cl)
}

// Metadata asks the cluster what it has of the topics.
func (c *Cluster) Metadata(ctx context.Context, names ...string) (*kmsg.MetadataResponse, error) {
	return metadata(ctx, c.Facts, names...)
}

// MetadataOf asks one broker what it knows of the topics.
func (c *Cluster) MetadataOf(ctx context.Context, broker int32, names ...string) (*kmsg.MetadataResponse, error) {
	return metadata(ctx, c.Facts.Broker(int(broker)), names...)
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// Topic answers from what is known, or asks the cluster.
func (c *Cluster) Topic(ctx context.Context, name string) (Topic, error) {
	c.mu.RLock()
	t, ok := c.topics[name]
	c.mu.RUnlock()
	if ok {
		return t, nil
	}
	return c.Lookup(ctx, name)
}

// Lookup asks the cluster, which may be another one by now.
func (c *Cluster) Lookup(ctx context.Context, name string) (Topic, error) {
	resp, err := c.Metadata(ctx, name)
	if err != nil {
		return Topic{}, fmt.Errorf("look up topic %s: %w", name, c.Explain(err, "Describe", name))
	}
	if id := resp.ClusterID; id != nil && *id != c.id {
		return Topic{}, fmt.Errorf("look up topic %s: cluster %q answers in place of %q: see that the address of Kafka is right", name, *id, c.id)
	}
	if len(resp.Topics) != 1 {
		return Topic{}, fmt.Errorf("look up topic %s: %w", name, ErrNoTopic)
	}
	rt := resp.Topics[0]
	err = kerr.ErrorForCode(rt.ErrorCode)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return Topic{}, fmt.Errorf("look up topic %s: %w: make it with almanac topics apply", name, ErrNoTopic)
	}
	if err != nil {
		return Topic{}, fmt.Errorf("look up topic %s: %w", name, c.Explain(err, "Describe", name))
	}
	t := Topic{Name: name, ID: rt.TopicID, Leaders: make([]int32, len(rt.Partitions)), Epochs: make([]int32, len(rt.Partitions))}
	for _, p := range rt.Partitions {
		if int(p.Partition) < len(t.Leaders) && p.Partition >= 0 {
			t.Leaders[p.Partition], t.Epochs[p.Partition] = p.Leader, p.LeaderEpoch
		}
	}
	c.mu.Lock()
	c.topics[name] = t
	c.mu.Unlock()
	return t, nil
}

// Forget makes the next call of Topic ask the cluster.
func (c *Cluster) Forget(name string) {
	c.mu.Lock()
	delete(c.topics, name)
	c.mu.Unlock()
}
