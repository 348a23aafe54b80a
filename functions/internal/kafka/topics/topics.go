// Package topics makes the topics of a cluster, and compares those that exist with what Almanac needs of them.
package topics

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/almanac-data/almanac/functions/internal/kafka/letters"
	"github.com/almanac-data/almanac/functions/internal/kafka/link"
)

// Names are topics by what they are for.
type Names struct{ Facts, Dues, Blocks, Wakes []string }

// all lists every topic that is to be, with how it is to be.
func (n Names) all(c *link.Cluster) map[string]wanted {
	w := map[string]wanted{letters.Topic: deadLetters(c)}
	for _, name := range slices.Concat(n.Facts, n.Dues) {
		w[name] = compacted(c)
	}
	for _, name := range n.Wakes {
		w[name] = wakes(c)
	}
	for _, name := range n.Blocks {
		w[name] = ofBlocks(c)
	}
	return w
}

// Ensure makes the topics that are missing, and compares those that exist with what is needed: facts and dues have one partition and
// are compacted; blocks and dead letters are kept for the configured time at least. A block topic may have more or fewer partitions
// than are configured now: a claim names the one it lies in. The error holds every finding.
func Ensure(ctx context.Context, c *link.Cluster, names Names) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	want := names.all(c)
	var made []string // by us, or by another instance that was quicker
	err := settle(ctx, c, slices.Sorted(maps.Keys(want)), func(name string) error {
		made = append(made, name)
		_, err := Create(ctx, c, name, want[name].partitions, want[name].settings())
		return err
	})
	if err != nil {
		return err
	}
	Spread(ctx, c, made)
	return joined(Check(ctx, c, names))
}

// Create makes a topic, and says whether it did: one that is there is left as it is.
func Create(ctx context.Context, c *link.Cluster, name string, partitions int32, settings map[string]string) (made bool, err error) {
	configs := map[string]*string{}
	for key, value := range settings {
		configs[key] = &value
	}
	answer, err := c.Admin.CreateTopic(ctx, partitions, c.Copies(), configs, name)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, kerr.TopicAlreadyExists):
		return false, nil
	case answer.ErrMessage != "":
		return false, fmt.Errorf("create topic %s (%s): %w", name, answer.ErrMessage, c.Explain(err, "Create", name))
	}
	return false, fmt.Errorf("create topic %s: %w", name, c.Explain(err, "Create", name))
}

// Settle waits until every topic has leaders: brokers learn of a new topic a moment after it was made.
func Settle(ctx context.Context, c *link.Cluster, names []string) error {
	return settle(ctx, c, names, func(string) error { return nil })
}

// settle is Settle that tells of each topic that is not there, once. One that was there a moment ago may be gone: a broker that is behind shows one that was deleted.
func settle(ctx context.Context, c *link.Cluster, names []string, absent func(name string) error) error {
	told := map[string]bool{}
	for {
		there, err := describe(ctx, c, names)
		if err != nil {
			return err
		}
		if count(there) == len(names) {
			return nil
		}
		var errs []error
		for _, name := range names {
			if _, ok := there[name]; !ok && !told[name] {
				told[name] = true
				errs = append(errs, absent(name))
			}
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
		if err := link.Pause(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("create topics: %d of %d have leaders: %w", count(there), len(names), err)
		}
	}
}

// spread bounds how long brokers are waited for once one has heard of new topics.
const spread = 5 * time.Second

// Spread waits a while until each broker knows the leaders of topics that were just made, as a client may ask any. A broker that does not answer, or is
// behind for longer, is left alone.
func Spread(ctx context.Context, c *link.Cluster, names []string) {
	if len(names) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, spread)
	defer cancel()
	all, err := c.Metadata(ctx)
	if err != nil {
		return
	}
	for _, broker := range all.Brokers {
		for {
			resp, err := c.MetadataOf(ctx, broker.NodeID, names...)
			if err != nil {
				break
			}
			there, err := states(c, resp)
			if err == nil && count(there) == len(names) || link.Pause(ctx, 20*time.Millisecond) != nil {
				break
			}
		}
	}
}

// count is how many of the topics are led.
func count(there map[string]state) (led int) {
	for _, t := range there {
		if t.led {
			led++
		}
	}
	return led
}

// state is how a topic is.
type state struct {
	partitions, replicas int
	led                  bool // every partition has a leader
}

// describe looks at topics; those that do not exist are not in the map.
func describe(ctx context.Context, c *link.Cluster, names []string) (map[string]state, error) {
	resp, err := c.Metadata(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", c.Explain(err, "Describe", ""))
	}
	return states(c, resp)
}

func states(c *link.Cluster, resp *kmsg.MetadataResponse) (map[string]state, error) {
	there := map[string]state{}
	for _, t := range resp.Topics {
		err := kerr.ErrorForCode(t.ErrorCode)
		switch {
		case t.Topic == nil, errors.Is(err, kerr.UnknownTopicOrPartition):
		case err == nil, errors.Is(err, kerr.LeaderNotAvailable):
			there[*t.Topic] = stateOf(t)
		default:
			return nil, fmt.Errorf("look at topic %s: %w", *t.Topic, c.Explain(err, "Describe", *t.Topic))
		}
	}
	return there, nil
}

func stateOf(t kmsg.MetadataResponseTopic) state {
	s := state{partitions: len(t.Partitions), led: len(t.Partitions) > 0}
	for i, p := range t.Partitions {
		s.led = s.led && p.ErrorCode == 0 && p.Leader >= 0
		if i == 0 || len(p.Replicas) < s.replicas {
			s.replicas = len(p.Replicas)
		}
	}
	return s
}
