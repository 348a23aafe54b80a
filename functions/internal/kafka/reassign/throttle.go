package reassign

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/almanac-data/almanac/functions/internal/kafka/link"
)

// The settings by which Kafka's own tool throttles what is moved (KIP-73): rates of brokers, and the replicas of a topic that they count for.
var (
	rates    = []string{"leader.replication.throttled.rate", "follower.replication.throttled.rate"}
	replicas = []string{"leader.replication.throttled.replicas", "follower.replication.throttled.replicas"}
)

// slow throttles the replicas that are copied, from where and to where. Those that only follow are not throttled, or they would fall out of sync.
func slow(ctx context.Context, c *link.Cluster, moves []Move, rate int64) error {
	from, to := map[string][]string{}, map[string][]string{}
	var brokers []int32
	for _, m := range moves {
		for _, id := range m.Replicas {
			from[m.Topic] = append(from[m.Topic], replica(m.ID, id))
		}
		for _, id := range m.To {
			if !slices.Contains(m.Replicas, id) {
				to[m.Topic] = append(to[m.Topic], replica(m.ID, id))
			}
		}
		brokers = append(brokers, append(m.Replicas, m.To...)...)
	}
	slices.Sort(brokers)
	text := strconv.FormatInt(rate, 10)
	done, err := c.Admin.AlterBrokerConfigs(ctx, []kadm.AlterConfig{set(rates[0], text), set(rates[1], text)}, slices.Compact(brokers)...)
	if err = altered(done, err); err != nil {
		return fmt.Errorf("throttle the brokers: %w", c.Explain(err, "AlterConfigs", ""))
	}
	for topic := range from {
		done, err := c.Admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{set(replicas[0], strings.Join(from[topic], ",")), set(replicas[1], strings.Join(to[topic], ","))}, topic)
		if err = altered(done, err); err != nil {
			return fmt.Errorf("throttle topic %s: %w", topic, c.Explain(err, "AlterConfigs", topic))
		}
	}
	return nil
}

// unthrottle takes away all throttles, also those of a run that was killed.
func unthrottle(ctx context.Context, c *link.Cluster) error {
	ctx, cancel := context.WithTimeout(ctx, link.AdminTimeout)
	defer cancel()
	meta, err := c.Admin.Metadata(ctx)
	if err != nil {
		return fmt.Errorf("ask for brokers and topics: %w", c.Explain(err, "Describe", ""))
	}
	if len(meta.Topics) > 0 {
		found, err := c.Admin.DescribeTopicConfigs(ctx, meta.Topics.Names()...)
		if err == nil {
			err = clean(found, replicas, func(remove []kadm.AlterConfig, topic string) error {
				return altered(c.Admin.AlterTopicConfigs(ctx, remove, topic))
			})
		}
		if err != nil {
			return fmt.Errorf("remove the throttles of topics: %w", c.Explain(err, "AlterConfigs", ""))
		}
	}
	found, err := c.Admin.DescribeBrokerConfigs(ctx, meta.Brokers.NodeIDs()...)
	if err == nil {
		err = clean(found, rates, func(remove []kadm.AlterConfig, name string) error {
			id, err := strconv.ParseInt(name, 10, 32)
			if err != nil {
				return err
			}
			return altered(c.Admin.AlterBrokerConfigs(ctx, remove, int32(id)))
		})
	}
	if err != nil {
		return fmt.Errorf("remove the throttles of brokers: %w", c.Explain(err, "AlterConfigs", ""))
	}
	return nil
}

// clean removes those of the settings that a resource has a value of its own for.
func clean(found kadm.ResourceConfigs, names []string, remove func([]kadm.AlterConfig, string) error) error {
	for _, r := range found {
		if r.Err != nil {
			return fmt.Errorf("%s: %w", r.Name, r.Err)
		}
		var gone []kadm.AlterConfig
		for _, conf := range r.Configs {
			own := conf.Source == kmsg.ConfigSourceDynamicTopicConfig || conf.Source == kmsg.ConfigSourceDynamicBrokerConfig
			if own && slices.Contains(names, conf.Key) {
				gone = append(gone, kadm.AlterConfig{Op: kadm.DeleteConfig, Name: conf.Key})
			}
		}
		if len(gone) == 0 {
			continue
		}
		if err := remove(gone, r.Name); err != nil {
			return fmt.Errorf("%s: %w", r.Name, err)
		}
	}
	return nil
}

func set(name, value string) kadm.AlterConfig {
	return kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: &value}
}

// altered is what the brokers did not take, of settings.
func altered(done kadm.AlterConfigsResponses, err error) error {
	errs := []error{err}
	for _, r := range done {
		errs = append(errs, r.Err)
	}
	return errors.Join(errs...)
}

// replica names one as those settings do.
func replica(partition, broker int32) string {
	return strconv.Itoa(int(partition)) + ":" + strconv.Itoa(int(broker))
}
