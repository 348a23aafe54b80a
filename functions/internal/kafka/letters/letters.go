// Package letters keeps dead letters: the events that no function could handle.
package letters

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/kafka/fetch"
	"github.com/almanac-data/almanac/functions/internal/kafka/link"
	"github.com/almanac-data/almanac/functions/internal/kafka/wire"
)

// Topic takes the events that no function could handle.
const Topic = "almanac.deadletter"

// Letter is an event that no function could handle. Attributes are those of the event, by their CloudEvents names, with
// datacontenttype, and with what Knative adds (knativeerrordest, knativeerrorcode, knativeerrordata) or a Box (Detail).
type Letter struct {
	Partition  int32
	Offset     int64
	Time       time.Time // when it was buried
	Attributes map[string]string
	Data       []byte
}

// Detail is the attribute that says to a person what happened, of an event that a function has given up itself.
const Detail = "detail"

// Box takes the events that one function gives up.
type Box struct {
	c      *link.Cluster
	source string
}

// NewBox makes the box of a function; its letters have the source /almanac/<function>.
func NewBox(c *link.Cluster, function string) Box { return Box{c, "/almanac/" + function} }

// Bury keeps an event as a dead letter, with what a person should know of it. Doing it twice makes two letters of one id.
func (b Box) Bury(ctx context.Context, e events.Event, detail string) error {
	r, err := wire.Encode(ctx, e, b.source, b.c.Config.Now())
	if err != nil {
		return fmt.Errorf("bury: %w", err)
	}
	letter := exhume(r)
	letter.Attributes[Detail] = detail
	return Bury(ctx, b.c, letter)
}

// Bury appends a dead letter to its topic. Partition, Offset and Time are not looked at.
func Bury(ctx context.Context, c *link.Cluster, d Letter) error {
	r := &kgo.Record{Topic: Topic, Key: []byte(d.Attributes["id"]), Value: d.Data}
	for _, name := range slices.Sorted(maps.Keys(d.Attributes)) {
		key := wire.Prefix + name
		if name == "datacontenttype" {
			key = wire.ContentType
		}
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: key, Value: []byte(d.Attributes[name])})
	}
	if err := c.Facts.ProduceSync(ctx, r).FirstErr(); err != nil {
		return fmt.Errorf("bury %s: %w", d.Attributes["id"], c.Unwritten(ctx, Topic, err))
	}
	return nil
}

// All yields the dead letters that are there now, oldest first.
func All(ctx context.Context, c *link.Cluster) iter.Seq2[Letter, error] {
	return func(yield func(Letter, error) bool) {
		ranges, err := c.Ranges(ctx, Topic)
		if err != nil {
			yield(Letter{}, fmt.Errorf("list dead letters: %w", err))
			return
		}
		for p, r := range ranges {
			for rec, err := range fetch.Range(ctx, c, Topic, int32(p), r) {
				if err != nil {
					yield(Letter{}, fmt.Errorf("list dead letters: %w", err))
					return
				}
				if !yield(exhume(rec), nil) {
					return
				}
			}
		}
	}
}

// Find finds one by its place.
func Find(ctx context.Context, c *link.Cluster, partition int32, offset int64) (Letter, error) {
	ranges, err := c.Ranges(ctx, Topic)
	if err != nil {
		return Letter{}, fmt.Errorf("find dead letter %d/%d: %w", partition, offset, err)
	}
	if partition < 0 || int(partition) >= len(ranges) {
		return Letter{}, fmt.Errorf("find dead letter %d/%d: partition %d does not exist: topic %s has %d", partition, offset, partition, Topic, len(ranges))
	}
	if r := ranges[partition]; r.Start <= offset && offset < r.End {
		for rec, err := range fetch.Range(ctx, c, Topic, partition, link.Range{Start: offset, End: offset + 1}) {
			if err != nil {
				return Letter{}, fmt.Errorf("find dead letter %d/%d: %w", partition, offset, err)
			}
			return exhume(rec), nil
		}
	}
	return Letter{}, fmt.Errorf("find dead letter %d/%d: it is not there: list them to see which are", partition, offset)
}

func exhume(r *kgo.Record) Letter {
	d := Letter{Partition: r.Partition, Offset: r.Offset, Time: r.Timestamp, Attributes: map[string]string{}, Data: r.Value}
	for _, h := range r.Headers {
		switch name, ok := strings.CutPrefix(h.Key, wire.Prefix); {
		case ok:
			d.Attributes[name] = string(h.Value)
		case h.Key == wire.ContentType:
			d.Attributes["datacontenttype"] = string(h.Value)
		}
	}
	return d
}
