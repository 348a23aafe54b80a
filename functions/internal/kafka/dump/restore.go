package dump

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/almanac-data/almanac/functions/internal/kafka/fetch"
	"github.com/almanac-data/almanac/functions/internal/kafka/link"
	"github.com/almanac-data/almanac/functions/internal/kafka/topics"
)

// ErrNotEmpty says that a cluster holds facts that are not those of the dump.
var ErrNotEmpty = errors.New("it holds facts already")

// Restore brings a dump into a cluster whose topics of facts are empty, or hold the beginning of the dump, as one that was killed leaves them. It looks at all before
// it changes anything. Topics get new ids, so that blocks which the facts claim count as absent, and are made again.
func Restore(ctx context.Context, c *link.Cluster, in io.ReadSeeker) (Totals, error) {
	// The client counts the time of delivery from that of the record, which was said long ago.
	out, err := c.Client(kgo.ProducerBatchMaxBytes(link.MaxFact), kgo.RecordDeliveryTimeout(0))
	if err != nil {
		return Totals{}, fmt.Errorf("restore kafka: %w", err)
	}
	defer out.Close()
	r := &restorer{c: c, out: out, there: map[string]int{}}
	totals, err := r.look(ctx, in)
	if err == nil {
		_, err = in.Seek(0, io.SeekStart)
	}
	if err == nil {
		err = r.declare(ctx)
	}
	if err == nil {
		err = r.say(ctx, in)
	}
	if err != nil {
		return totals, fmt.Errorf("restore kafka: %w", err)
	}
	return totals, nil
}

type restorer struct {
	c      *link.Cluster
	out    *kgo.Client
	topics []Topic
	rights []Right
	there  map[string]int // records that are there already, by topic
	batch  []*kgo.Record
}

// look reads the dump to its end, and compares what the cluster holds with it.
func (r *restorer) look(ctx context.Context, in io.Reader) (Totals, error) {
	held := map[string]*present{}
	defer func() {
		for _, p := range held {
			p.stop()
		}
	}()
	totals, err := Read(in, Visitor{
		Topic: func(t Topic) error { r.topics = append(r.topics, t); return nil },
		Right: func(right Right) error { r.rights = append(r.rights, right); return nil },
		Record: func(rec Record) error {
			if held[rec.Topic] == nil {
				p, err := r.present(ctx, rec.Topic)
				if err != nil {
					return err
				}
				held[rec.Topic] = p
			}
			return held[rec.Topic].is(rec)
		},
	})
	if err != nil {
		return totals, err
	}
	for _, topic := range dumped() {
		p := held[topic]
		if p == nil {
			if p, err = r.present(ctx, topic); err != nil {
				return totals, err
			}
			held[topic] = p
		}
		if r.there[topic], err = p.end(); err != nil {
			return totals, err
		}
	}
	return totals, nil
}

// present is what a topic holds, beside what the dump says of it.
type present struct {
	topic string
	next  func() (*kgo.Record, error, bool)
	stop  func()
	same  int
	over  bool
}

func (r *restorer) present(ctx context.Context, topic string) (*present, error) {
	p := &present{topic: topic}
	ranges, err := r.c.Ranges(ctx, topic)
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition), err == nil && len(ranges) == 0:
		p.next, p.stop = iter.Pull2(func(func(*kgo.Record, error) bool) {})
		return p, nil
	case err != nil:
		return nil, err
	}
	p.next, p.stop = iter.Pull2(fetch.Range(ctx, r.c, topic, 0, ranges[0]))
	return p, nil
}

// is compares the next record that is there, if any, with one of the dump.
func (p *present) is(want Record) error {
	if p.over {
		return nil
	}
	got, err, ok := p.next()
	switch {
	case !ok:
		p.over = true
		return nil
	case err != nil:
		return err
	case !bytes.Equal(got.Key, want.Key) || !bytes.Equal(got.Value, want.Value):
		return p.refuse(got.Offset)
	}
	p.same++
	return nil
}

// end is how many records are there; more than the dump has are refused.
func (p *present) end() (int, error) {
	if p.over {
		return p.same, nil
	}
	if got, err, ok := p.next(); err != nil {
		return 0, err
	} else if ok {
		return 0, p.refuse(got.Offset)
	}
	return p.same, nil
}

func (p *present) refuse(offset int64) error {
	return fmt.Errorf("topic %s has another record at offset %d than the dump: %w; nothing is changed. Stop the functions, and restore into a Kafka that was made for it: "+
		"delete the topics almanac.fact.* and almanac.due.* if nobody needs what they say", p.topic, offset, ErrNotEmpty)
}

// declare makes topics and rules.
func (r *restorer) declare(ctx context.Context) error {
	for _, t := range r.topics {
		if err := t.declare(ctx, r.c); err != nil {
			return err
		}
	}
	if err := r.settle(ctx); err != nil {
		return err
	}
	if len(r.rights) == 0 {
		return nil
	}
	held, err := rightsOf(ctx, r.c)
	if err != nil {
		return err
	}
	for _, right := range r.rights {
		if held[right] {
			continue
		}
		if err := right.grant(ctx, r.c); err != nil {
			return err
		}
	}
	return nil
}

// declare makes a topic, or gives one that is there its settings.
func (t Topic) declare(ctx context.Context, c *link.Cluster) error {
	ctx, cancel := context.WithTimeout(ctx, link.AdminTimeout)
	defer cancel()
	made, err := topics.Create(ctx, c, t.Name, t.Partitions, t.Settings)
	if err != nil || made || len(t.Settings) == 0 {
		return err
	}
	var alter []kadm.AlterConfig
	for key, value := range t.Settings {
		alter = append(alter, kadm.AlterConfig{Op: kadm.SetConfig, Name: key, Value: &value})
	}
	answers, err := c.Admin.AlterTopicConfigs(ctx, alter, t.Name)
	for _, a := range answers {
		err = errors.Join(err, a.Err)
	}
	if err != nil {
		return fmt.Errorf("give topic %s its settings: %w", t.Name, c.Explain(err, "AlterConfigs", t.Name))
	}
	return nil
}

// settle waits until all topics have leaders.
func (r *restorer) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, link.AdminTimeout)
	defer cancel()
	names := make([]string, len(r.topics))
	for i, t := range r.topics {
		names[i] = t.Name
	}
	if err := topics.Settle(ctx, r.c, names); err != nil {
		return err
	}
	topics.Spread(ctx, r.c, names)
	return nil
}

// Sizes of what is written at once.
const (
	batchRecords = 500
	batchBytes   = link.MaxFact / 4
)

// say writes the records that are not there yet, in their order.
func (r *restorer) say(ctx context.Context, in io.Reader) error {
	bytes := 0
	_, err := Read(in, Visitor{Record: func(rec Record) error {
		if r.there[rec.Topic] > 0 {
			r.there[rec.Topic]--
			return nil
		}
		size := len(rec.Key) + len(rec.Value)
		if n := len(r.batch); n == batchRecords || n > 0 && (r.batch[0].Topic != rec.Topic || bytes+size > batchBytes) {
			if err := r.flush(ctx); err != nil {
				return err
			}
			bytes = 0
		}
		bytes += size
		r.batch = append(r.batch, rec.again())
		return nil
	}})
	if err != nil {
		return err
	}
	return r.flush(ctx)
}

func (r *restorer) flush(ctx context.Context) error {
	if len(r.batch) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	topic := r.batch[0].Topic
	if err := r.out.ProduceSync(ctx, r.batch...).FirstErr(); err != nil {
		return fmt.Errorf("write topic %s: %w", topic, r.c.Unwritten(ctx, topic, err))
	}
	r.batch = r.batch[:0]
	return nil
}

// again is the record as it was said, with its time.
func (r Record) again() *kgo.Record {
	again := &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Timestamp: time.UnixMilli(r.Time)}
	for _, h := range r.Headers {
		again.Headers = append(again.Headers, kgo.RecordHeader{Key: h[0], Value: []byte(h[1])})
	}
	return again
}
