package link

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/almanac-data/almanac/functions/internal/kafka/fault"
)

// User is how the brokers know this client, as far as it knows that itself.
func (c *Cluster) User() string {
	if c.door == nil {
		return ""
	}
	return c.door.User()
}

// Explain adds to an error what a person can do about it. The operation is named as in access rules.
func (c *Cluster) Explain(err error, operation, topic string) error {
	return fault.Explain(err, fault.On{Do: operation, Topic: topic, User: c.User()})
}

// ExplainGroup is Explain where a consumer group is read from or written to.
func (c *Cluster) ExplainGroup(err error, group, topic string) error {
	return fault.Explain(err, fault.On{Do: "Read", Group: group, Topic: topic, User: c.User()})
}

// Unwritten explains why a record was not written. Where a client only says that its time is over, the cluster is asked for the cause.
func (c *Cluster) Unwritten(ctx context.Context, topic string, err error) error {
	if errors.Is(err, kgo.ErrRecordTimeout) || errors.Is(err, kgo.ErrRecordRetries) {
		err = errors.Join(err, c.diagnose(ctx, topic))
	}
	return c.Explain(err, "Write", topic)
}

// diagnose says what stands in the way of writing to a topic, if it shows.
func (c *Cluster) diagnose(ctx context.Context, topic string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	resp, err := c.probe(ctx, topic)
	if err != nil {
		return fmt.Errorf("ask the brokers: %w", c.Explain(err, "Describe", topic))
	}
	var errs []error
	least := c.leastInSync(ctx, topic)
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			switch {
			case p.Leader >= 0 && len(p.ISR) < least:
				errs = append(errs, fmt.Errorf("partition %d of topic %s has %d of %d replicas in sync, and its min.insync.replicas is %d: nothing is written until "+
					"more brokers run, or the setting is right: almanac topics check says what it should be", p.Partition, topic, len(p.ISR), len(p.Replicas), least))
			case p.Leader < 0:
				errs = append(errs, fmt.Errorf("partition %d of topic %s has no leader: see that all brokers run", p.Partition, topic))
			case len(p.ISR) < len(p.Replicas):
				errs = append(errs, fmt.Errorf("partition %d of topic %s has %d of %d replicas in sync: "+
					"where that is fewer than its min.insync.replicas nothing is written: see that all brokers run",
					p.Partition, topic, len(p.ISR), len(p.Replicas)))
			}
		}
	}
	return errors.Join(errs...)
}

// leastInSync is a topic's min.insync.replicas; 0 if the brokers do not tell it.
func (c *Cluster) leastInSync(ctx context.Context, topic string) int {
	const setting = "min.insync.replicas"
	described, err := c.Admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return 0
	}
	on, err := described.On(topic, nil)
	if err != nil {
		return 0
	}
	for _, s := range on.Configs {
		if s.Key == setting {
			n, _ := strconv.Atoi(s.MaybeValue()) // a broker's number, or none
			return n
		}
	}
	return 0
}
