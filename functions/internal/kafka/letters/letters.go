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
			for d, err := range between(ctx, c, int32(p), r) {
				if !yield(d, err) || err != nil {
					return
				}
			}
		}
	}
}

// Find finds one by its place.
func Find(ctx context.Context, c *link.Cluster, partition int32, offset int64) (Letter, error) {
	for d, err := range between(ctx, c, partition, link.Range{Start: offset, End: offset + 1}) {
		if err != nil {
			return d, err
		}
		if d.Offset == offset {
			return d, nil
		}
	}
	return Letter{}, fmt.Errorf("find dead letter %d/%d: it is not there: list them to see which are", partition, offset)
}

// mostMoves is how often another leader is looked for.
const mostMoves = 5

func between(ctx context.Context, c *link.Cluster, partition int32, r link.Range) iter.Seq2[Letter, error] {
	return func(yield func(Letter, error) bool) {
		t, err := c.Topic(ctx, Topic)
		if err == nil && (partition < 0 || int(partition) >= len(t.Leaders)) {
			err = fmt.Errorf("partition %d does not exist", partition)
		}
		at := fetch.Position{Topic: t, Partition: partition, Offset: r.Start}
		for moved := 0; err == nil && at.Offset < r.End; {
			var parts []fetch.Part
			if parts, err = fetch.Do(ctx, c.Raw, at.Topic.Leaders[partition], []fetch.Position{at}, 0); err != nil {
				break
			}
			if err = parts[0].Err; err != nil && fetch.Passing(err) && moved < mostMoves {
				moved++
				at.Topic, err = c.Lookup(ctx, Topic)
				continue
			}
			if err != nil || parts[0].Next == at.Offset {
				break
			}
			at.Offset = parts[0].Next
			for _, rec := range parts[0].Records {
				if rec.Offset < r.End && !yield(exhume(rec), nil) {
					return
				}
			}
		}
		if err != nil {
			c.Forget(Topic)
			yield(Letter{}, fmt.Errorf("read dead letters: %w", err))
		}
	}
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
