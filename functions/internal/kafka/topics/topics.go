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
	there, err := describe(ctx, c, want)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if _, ok := there[name]; !ok {
			errs = append(errs, create(ctx, c, name, want[name]))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := settle(ctx, c, want); err != nil {
		return err
	}
	return Verify(ctx, c, names)
}

func create(ctx context.Context, c *link.Cluster, name string, want wanted) error {
	configs := map[string]*string{}
	for key, value := range want.settings() {
		configs[key] = &value
	}
	made, err := c.Admin.CreateTopic(ctx, want.partitions, c.Copies(), configs, name)
	switch {
	case err == nil, errors.Is(err, kerr.TopicAlreadyExists): // another instance was quicker
		return nil
	case made.ErrMessage != "":
		return fmt.Errorf("create topic %s (%s): %w", name, made.ErrMessage, c.Explain(err, "Create", name))
	}
	return fmt.Errorf("create topic %s: %w", name, c.Explain(err, "Create", name))
}

// settle waits until every topic has leaders: brokers learn of a new topic a moment after it was made.
func settle(ctx context.Context, c *link.Cluster, want map[string]wanted) error {
	for {
		there, err := describe(ctx, c, want)
		if err != nil {
			return err
		}
		led := 0
		for _, t := range there {
			if t.led {
				led++
			}
		}
		if led == len(want) {
			return nil
		}
		if err := link.Pause(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("create topics: %d of %d have leaders: %w", led, len(want), err)
		}
	}
}

// state is how a topic is.
type state struct {
	partitions, replicas int
	led                  bool // every partition has a leader
}

// describe looks at topics; those that do not exist are not in the map.
func describe(ctx context.Context, c *link.Cluster, want map[string]wanted) (map[string]state, error) {
	resp, err := c.Metadata(ctx, slices.Sorted(maps.Keys(want))...)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", c.Explain(err, "Describe", ""))
	}
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
