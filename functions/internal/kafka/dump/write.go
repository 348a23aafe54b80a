package dump

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/almanac-data/almanac/functions/internal/kafka/fetch"
	"github.com/almanac-data/almanac/functions/internal/kafka/link"
)

// Write dumps a cluster. It takes a user who may read all topics and describe all rules; what is said meanwhile may be in it or not.
func Write(ctx context.Context, c *link.Cluster, out io.Writer) (Totals, error) {
	buffered := bufio.NewWriter(out)
	enc := json.NewEncoder(buffered)
	d := &dumper{c: c, enc: enc, totals: Totals{Records: map[string]int{}, Ends: map[string]int64{}}}
	err := d.run(ctx)
	if err == nil {
		err = buffered.Flush()
	}
	if err != nil {
		return d.totals, fmt.Errorf("dump kafka: %w", err)
	}
	return d.totals, nil
}

type dumper struct {
	c      *link.Cluster
	enc    *json.Encoder
	totals Totals
}

func (d *dumper) run(ctx context.Context) error {
	resp, err := d.c.Metadata(ctx)
	if err != nil {
		return d.c.Explain(err, "Describe", "")
	}
	cluster := ""
	if resp.ClusterID != nil {
		cluster = *resp.ClusterID
	}
	if err := d.enc.Encode(line{Head: &Head{Format, cluster, d.c.Config.Now().UTC()}}); err != nil {
		return err
	}
	topics, err := d.topics(ctx)
	if err != nil {
		return err
	}
	if err := d.rights(ctx); err != nil {
		return err
	}
	for _, name := range dumped() {
		if !slices.Contains(topics, name) {
			continue
		}
		if err := d.records(ctx, name); err != nil {
			return err
		}
	}
	return d.enc.Encode(line{End: &d.totals})
}

// topics writes how the topics are made, and returns their names.
func (d *dumper) topics(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, link.AdminTimeout)
	defer cancel()
	listed, err := d.c.Admin.ListTopics(ctx)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", d.c.Explain(err, "Describe", ""))
	}
	names := slices.DeleteFunc(listed.Names(), func(name string) bool { return !strings.HasPrefix(name, prefix) })
	if len(names) == 0 {
		return nil, fmt.Errorf("no topic begins with %s: see that this is the right Kafka, and that the user may describe its topics", prefix)
	}
	configs, err := d.c.Admin.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("look at the settings of topics: %w", d.c.Explain(err, "DescribeConfigs", ""))
	}
	for _, name := range names {
		t := listed[name]
		if t.Err != nil {
			return nil, fmt.Errorf("look at topic %s: %w", name, d.c.Explain(t.Err, "Describe", name))
		}
		rc, err := configs.On(name, nil)
		if err = cmp.Or(err, rc.Err); err != nil {
			return nil, fmt.Errorf("look at the settings of topic %s: %w", name, d.c.Explain(err, "DescribeConfigs", name))
		}
		declared := Topic{Name: name, ID: fmt.Sprintf("%x", [16]byte(t.ID)), Partitions: int32(len(t.Partitions)), Settings: own(rc)}
		if err := d.enc.Encode(line{Topic: &declared}); err != nil {
			return nil, err
		}
		d.totals.Topics++
	}
	return names, nil
}

// own are the settings that were given to the topic itself.
func own(rc kadm.ResourceConfig) map[string]string {
	settings := map[string]string{}
	for _, c := range rc.Configs {
		if c.Source == kmsg.ConfigSourceDynamicTopicConfig && c.Value != nil {
			settings[c.Key] = *c.Value
		}
	}
	return settings
}

// rights writes the access rules, in order.
func (d *dumper) rights(ctx context.Context) error {
	all, err := rightsOf(ctx, d.c)
	if err != nil {
		return err
	}
	for _, r := range slices.SortedFunc(maps.Keys(all), compareRights) {
		if err := d.enc.Encode(line{Right: &r}); err != nil {
			return err
		}
		d.totals.Rights++
	}
	return nil
}

// records writes the records of a topic that count.
func (d *dumper) records(ctx context.Context, topic string) error {
	ranges, err := d.c.Ranges(ctx, topic)
	if err != nil {
		return err
	}
	if len(ranges) != 1 {
		return fmt.Errorf("topic %s has %d partitions where 1 is needed, or its records have no order", topic, len(ranges))
	}
	d.totals.Ends[topic] = ranges[0].End
	counts := map[string]int64{} // offset of the last record of each key
	if latest(topic) {
		for r, err := range fetch.Range(ctx, d.c, topic, 0, ranges[0]) {
			if err != nil {
				return err
			}
			if counts[string(r.Key)] = r.Offset; r.Value == nil {
				delete(counts, string(r.Key))
			}
		}
	}
	for r, err := range fetch.Range(ctx, d.c, topic, 0, ranges[0]) {
		if err != nil {
			return err
		}
		if at, ok := counts[string(r.Key)]; latest(topic) && (!ok || at != r.Offset) {
			continue
		}
		kept := keep(r)
		if err := d.enc.Encode(line{Record: &kept}); err != nil {
			return err
		}
		d.totals.Records[topic]++
	}
	return nil
}

func keep(r *kgo.Record) Record {
	kept := Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Time: r.Timestamp.UnixMilli(), Offset: r.Offset}
	for _, h := range r.Headers {
		kept.Headers = append(kept.Headers, [2]string{h.Key, string(h.Value)})
	}
	return kept
}
