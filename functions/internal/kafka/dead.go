package kafka

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// DeadLetter is an event that no function could handle. Attributes are those of the event, by their CloudEvents names, with
// datacontenttype, and with what Knative adds: knativeerrordest, knativeerrorcode, knativeerrordata.
type DeadLetter struct {
	Partition  int32
	Offset     int64
	Time       time.Time // when it was buried
	Attributes map[string]string
	Data       []byte
}

// Bury appends a dead letter to its topic. Partition, Offset and Time are not looked at.
func (c *Cluster) Bury(ctx context.Context, d DeadLetter) error {
	r := &kgo.Record{Topic: DeadLetterTopic, Key: []byte(d.Attributes["id"]), Value: d.Data}
	for _, name := range slices.Sorted(maps.Keys(d.Attributes)) {
		key := cePrefix + name
		if name == "datacontenttype" {
			key = contentType
		}
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: key, Value: []byte(d.Attributes[name])})
	}
	if err := c.facts.ProduceSync(ctx, r).FirstErr(); err != nil {
		return fmt.Errorf("bury %s: %w", d.Attributes["id"], produced(err))
	}
	return nil
}

// DeadLetters yields the dead letters that are there now, oldest first.
func (c *Cluster) DeadLetters(ctx context.Context) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		ranges, err := c.Ranges(ctx, DeadLetterTopic)
		if err != nil {
			yield(DeadLetter{}, fmt.Errorf("list dead letters: %w", err))
			return
		}
		for p, r := range ranges {
			for d, err := range c.deadLetters(ctx, int32(p), r) {
				if !yield(d, err) || err != nil {
					return
				}
			}
		}
	}
}

// DeadLetter finds one by its place.
func (c *Cluster) DeadLetter(ctx context.Context, partition int32, offset int64) (DeadLetter, error) {
	for d, err := range c.deadLetters(ctx, partition, Range{offset, offset + 1}) {
		if err != nil {
			return d, err
		}
		if d.Offset == offset {
			return d, nil
		}
	}
	return DeadLetter{}, fmt.Errorf("find dead letter %d/%d: it is not there: list them to see which are", partition, offset)
}

func (c *Cluster) deadLetters(ctx context.Context, partition int32, r Range) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		t, err := c.topic(ctx, DeadLetterTopic)
		if err == nil && (partition < 0 || int(partition) >= len(t.leaders)) {
			err = fmt.Errorf("partition %d does not exist", partition)
		}
		at := position{topic: t, partition: partition, offset: r.Start}
		for err == nil && at.offset < r.End {
			var parts []part
			if parts, err = fetch(ctx, c.raw, t.leaders[partition], []position{at}, 0); err != nil {
				break
			}
			if err = parts[0].err; err != nil || parts[0].next == at.offset {
				break
			}
			at.offset = parts[0].next
			for _, rec := range parts[0].records {
				if rec.Offset < r.End && !yield(exhume(rec), nil) {
					return
				}
			}
		}
		if err != nil {
			c.forget(DeadLetterTopic)
			yield(DeadLetter{}, fmt.Errorf("read dead letters: %w", err))
		}
	}
}

func exhume(r *kgo.Record) DeadLetter {
	d := DeadLetter{Partition: r.Partition, Offset: r.Offset, Time: r.Timestamp, Attributes: map[string]string{}, Data: r.Value}
	for _, h := range r.Headers {
		switch name, ok := strings.CutPrefix(h.Key, cePrefix); {
		case ok:
			d.Attributes[name] = string(h.Value)
		case h.Key == contentType:
			d.Attributes["datacontenttype"] = string(h.Value)
		}
	}
	return d
}
