package link

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
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

func missing(name string) error {
	return fmt.Errorf("look up topic %s: %w: make it with almanac topics apply", name, ErrNoTopic)
}

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

// turn bounds what one broker is waited for.
const turn = 5 * time.Second

// MetadataOf asks one broker what it knows of the topics.
func (c *Cluster) MetadataOf(ctx context.Context, broker int32, names ...string) (*kmsg.MetadataResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, turn)
	defer cancel()
	return metadata(ctx, retried{c.Facts.Broker(int(broker))}, names...)
}

// retried asks a broker again whose connection has ended.
type retried struct{ *kgo.Broker }

func (r retried) Request(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	return r.RetriableRequest(ctx, req)
}

// Sought is the topic of a name, id and partition if any broker knows it: one may not have heard of it yet, or know the one that was there before it. The error is
// ErrNoTopic only if all brokers were asked.
func (c *Cluster) Sought(ctx context.Context, name, id string, partition int32) (Topic, error) {
	all, err := c.Metadata(ctx, name)
	if err != nil {
		return Topic{}, fmt.Errorf("look up topic %s: %w", name, c.Explain(err, "Describe", name))
	}
	return c.any(ctx, all.Brokers, name, func(t Topic) bool { return t.HexID() == id && int(partition) < len(t.Leaders) })
}

// any asks broker after broker for a topic, until one knows it as it is wanted.
func (c *Cluster) any(ctx context.Context, brokers []kmsg.MetadataResponseBroker, name string, wanted func(Topic) bool) (Topic, error) {
	for _, broker := range brokers {
		resp, err := c.MetadataOf(ctx, broker.NodeID, name)
		if err != nil {
			return Topic{}, fmt.Errorf("look up topic %s at broker %d: %w", name, broker.NodeID, c.Explain(err, "Describe", name))
		}
		if t, err := c.topic(resp, name); err == nil && wanted(t) {
			return t, nil
		}
	}
	return Topic{}, missing(name)
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
	t, err := c.topic(resp, name)
	if errors.Is(err, ErrNoTopic) { // as far as the broker that was asked has heard
		return c.any(ctx, resp.Brokers, name, func(Topic) bool { return true })
	}
	return t, err
}

// topic is what an answer says of one, which is remembered.
func (c *Cluster) topic(resp *kmsg.MetadataResponse, name string) (Topic, error) {
	if id := resp.ClusterID; id != nil && *id != c.id {
		return Topic{}, fmt.Errorf("look up topic %s: cluster %q answers in place of %q: see that the address of Kafka is right", name, *id, c.id)
	}
	if len(resp.Topics) != 1 {
		return Topic{}, fmt.Errorf("look up topic %s: %w", name, ErrNoTopic)
	}
	rt := resp.Topics[0]
	err := kerr.ErrorForCode(rt.ErrorCode)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return Topic{}, missing(name)
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
