package kafka

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DeadLetterTopic takes the events that no function could handle.
const DeadLetterTopic = "almanac.deadletter"

// maxFact bounds a fact: one may pin thousands of files.
const maxFact = 8 << 20

// topic is what a request needs to know of one.
type topic struct {
	name    string
	id      [16]byte
	leaders []int32 // by partition
}

func (t topic) hexID() string { return hex.EncodeToString(t.id[:]) }

// errNoTopic says that the cluster does not have a topic.
var errNoTopic = errors.New("topic does not exist")

func (c *Cluster) metadata(ctx context.Context, names ...string) (*kmsg.MetadataResponse, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	for _, name := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = new(name)
		req.Topics = append(req.Topics, t)
	}
	return req.RequestWith(ctx, c.facts)
}

func (c *Cluster) clusterID(ctx context.Context) (string, error) {
	resp, err := c.metadata(ctx)
	if err != nil {
		return "", err
	}
	if resp.ClusterID == nil {
		return "", nil
	}
	return *resp.ClusterID, nil
}

// topic answers from what is known, or asks the cluster.
func (c *Cluster) topic(ctx context.Context, name string) (topic, error) {
	c.mu.RLock()
	t, ok := c.topics[name]
	c.mu.RUnlock()
	if ok {
		return t, nil
	}
	return c.lookup(ctx, name)
}

// lookup asks the cluster, which may be another one by now.
func (c *Cluster) lookup(ctx context.Context, name string) (topic, error) {
	resp, err := c.metadata(ctx, name)
	if err != nil {
		return topic{}, fmt.Errorf("look up topic %s: %w", name, err)
	}
	if id := resp.ClusterID; id != nil && *id != c.id {
		return topic{}, fmt.Errorf("look up topic %s: cluster %q answers in place of %q: see that the address of Kafka is right", name, *id, c.id)
	}
	if len(resp.Topics) != 1 {
		return topic{}, fmt.Errorf("look up topic %s: %w", name, errNoTopic)
	}
	rt := resp.Topics[0]
	err = kerr.ErrorForCode(rt.ErrorCode)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		err = errNoTopic
	}
	if err != nil {
		return topic{}, fmt.Errorf("look up topic %s: %w", name, err)
	}
	t := topic{name: name, id: rt.TopicID, leaders: make([]int32, len(rt.Partitions))}
	for _, p := range rt.Partitions {
		if int(p.Partition) < len(t.leaders) && p.Partition >= 0 {
			t.leaders[p.Partition] = p.Leader
		}
	}
	c.mu.Lock()
	c.topics[name] = t
	c.mu.Unlock()
	return t, nil
}

// forget makes the next call of topic ask the cluster.
func (c *Cluster) forget(name string) {
	c.mu.Lock()
	delete(c.topics, name)
	c.mu.Unlock()
}

// cleanupPolicy is the setting of a topic that says what becomes of its old records.
const cleanupPolicy = "cleanup.policy"

// wanted is how a group of topics is to be.
type wanted struct {
	partitions int32
	configs    map[string]string
}

// EnsureTopics makes the topics that are missing and holds those that exist to what Almanac needs of them: facts and dues have
// one partition and are compacted; blocks and dead letters are kept for the configured time. A block topic may have more or fewer
// partitions than are configured now: a claim names the one it lies in.
func (c *Cluster) EnsureTopics(ctx context.Context, facts, dues, blocks []string) error {
	keep := strconv.FormatInt(c.cfg.Retention.Milliseconds(), 10)
	compact := wanted{1, map[string]string{cleanupPolicy: "compact", "max.message.bytes": strconv.Itoa(maxFact), "retention.ms": "-1"}}
	block := wanted{c.cfg.Partitions, map[string]string{cleanupPolicy: "delete", "max.message.bytes": strconv.Itoa(MaxBlock), "retention.ms": keep}}
	dead := wanted{1, map[string]string{cleanupPolicy: "delete", "max.message.bytes": strconv.Itoa(maxFact), "retention.ms": keep}}
	var errs []error
	for _, group := range []struct {
		want  wanted
		names []string
	}{{compact, slices.Concat(facts, dues)}, {block, blocks}, {dead, []string{DeadLetterTopic}}} {
		if len(group.names) > 0 {
			errs = append(errs, c.ensure(ctx, group.want, group.names))
		}
	}
	return errors.Join(errs...)
}

func (c *Cluster) ensure(ctx context.Context, want wanted, names []string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	configs := map[string]*string{}
	for k, v := range want.configs {
		configs[k] = new(v)
	}
	there, err := c.partitions(ctx, names)
	if err != nil {
		return err
	}
	var missing, existing []string
	for _, name := range names {
		if there[name] > 0 {
			existing = append(existing, name)
		} else {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		made, err := c.admin.CreateTopics(ctx, want.partitions, c.cfg.Replication, configs, missing...)
		if err != nil {
			return fmt.Errorf("create topics: %w", err)
		}
		for _, name := range missing {
			switch err := made[name].Err; {
			case errors.Is(err, kerr.TopicAlreadyExists): // another instance was quicker
				existing = append(existing, name)
			case err != nil:
				return fmt.Errorf("create topic %s: %w %s", name, err, made[name].ErrMessage)
			}
		}
	}
	if err := c.settle(ctx, names); err != nil {
		return err
	}
	return c.check(ctx, want, existing)
}

// settle waits until every topic has leaders: brokers learn of a new topic a moment after it was made.
func (c *Cluster) settle(ctx context.Context, names []string) error {
	for {
		counts, err := c.partitions(ctx, names)
		if err != nil {
			return err
		}
		if len(counts) == len(names) {
			return nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("create topics: %d of %d have leaders: %w", len(counts), len(names), err)
		}
	}
}

// partitions counts the partitions of topics; those that do not exist, or have no leaders yet, are not in the map.
func (c *Cluster) partitions(ctx context.Context, names []string) (map[string]int32, error) {
	resp, err := c.metadata(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	counts := map[string]int32{}
	for _, t := range resp.Topics {
		led := t.Topic != nil && t.ErrorCode == 0 && len(t.Partitions) > 0
		for _, p := range t.Partitions {
			led = led && p.ErrorCode == 0 && p.Leader >= 0
		}
		if led {
			counts[*t.Topic] = int32(len(t.Partitions))
		}
	}
	return counts, nil
}

// check compares topics that exist with what is wanted.
func (c *Cluster) check(ctx context.Context, want wanted, names []string) error {
	if len(names) == 0 {
		return nil
	}
	partitions, err := c.partitions(ctx, names)
	if err != nil {
		return err
	}
	configs, err := c.admin.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return fmt.Errorf("describe topics: %w", err)
	}
	var errs []error
	for _, name := range names {
		if n := partitions[name]; n != want.partitions && want.configs[cleanupPolicy] == "compact" {
			errs = append(errs, fmt.Errorf("topic %s has %d partitions where 1 is needed: its records have no order; delete the topic or name another cluster", name, n))
		}
		errs = append(errs, checkConfigs(configs, name, want))
	}
	return errors.Join(errs...)
}

func checkConfigs(configs kadm.ResourceConfigs, name string, want wanted) error {
	got, err := configs.On(name, nil)
	if err == nil {
		err = got.Err
	}
	if err != nil {
		return fmt.Errorf("describe topic %s: %w", name, err)
	}
	var errs []error
	for _, have := range got.Configs {
		value := have.MaybeValue()
		switch have.Key {
		case cleanupPolicy:
			if strings.Contains(value, "compact") != (want.configs[have.Key] == "compact") || strings.Contains(value, "delete") && want.configs[have.Key] == "compact" {
				errs = append(errs, fmt.Errorf("topic %s has cleanup.policy=%s where %s is needed: alter it before facts are lost", name, value, want.configs[have.Key]))
			}
		case "max.message.bytes":
			n, _ := strconv.Atoi(value)
			if need, _ := strconv.Atoi(want.configs[have.Key]); n < need {
				errs = append(errs, fmt.Errorf("topic %s has max.message.bytes=%s where at least %d is needed: alter it", name, value, need))
			}
		}
	}
	return errors.Join(errs...)
}
