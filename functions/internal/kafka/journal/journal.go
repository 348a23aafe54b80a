// Package journal is the facts.Journal in Kafka: compacted topics of one partition each, read whole.
package journal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/kafka/fetch"
	"github.com/almanac-data/almanac/functions/internal/kafka/link"
	"github.com/almanac-data/almanac/functions/internal/kafka/wire"
)

// viewTimeout bounds one reading of what is new, whoever waits for it.
const viewTimeout = 30 * time.Second

// Journal is the facts.Journal in Kafka. It reads fact and due topics whole, from their start, and then what is new each time
// that a View is asked for; callers that come while a request is under way share the next one. Close ends it.
type Journal struct {
	c      *link.Cluster
	source string
	view   *facts.View
	ctx    context.Context //nolint:containedctx // ends the readings that callers share
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	waiting *round // not yet sent
	closed  bool

	reading sync.Mutex // holds what follows
	at      []fetch.Position
	whole   []int32 // epochs of the leaders that are known to tell of all that was acknowledged, by position
	broken  error   // once set, for good
}

// round is one reading, which any number of callers wait for.
type round struct {
	done chan struct{}
	err  error
}

var _ facts.Journal = (*Journal)(nil)

// Open opens the journal of all facts and dues; events that are said have the source /almanac/<function>.
func Open(ctx context.Context, c *link.Cluster, function string) (*Journal, error) {
	j := &Journal{c: c, source: "/almanac/" + function, view: facts.NewView()}
	for _, name := range append(events.FactTopics(), events.DueTopics()...) {
		t, err := c.Topic(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("open journal: %w", err)
		}
		if n := len(t.Leaders); n != 1 {
			return nil, fmt.Errorf("open journal: topic %s has %d partitions where 1 is needed, or its records have no order: "+
				"delete it and make it with almanac topics apply", name, n)
		}
		j.at, j.whole = append(j.at, fetch.Position{Topic: t}), append(j.whole, -1)
	}
	starts, err := starts(ctx, c, j.at)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	for i := range j.at {
		j.at[i].Offset = starts[i]
	}
	j.ctx, j.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return j, nil
}

// Close ends readings that are under way and waits for them.
func (j *Journal) Close() {
	j.mu.Lock()
	j.closed = true
	j.mu.Unlock()
	j.cancel()
	j.wg.Wait()
}

// Say appends events, in order, and returns once all are acknowledged by every replica in sync.
func (j *Journal) Say(ctx context.Context, evs ...events.Event) error {
	now := j.c.Config.Now()
	for len(evs) > 0 {
		// Topics are apart: what comes next in another one is sent after what comes before it is acknowledged.
		var same []*kgo.Record
		for _, e := range evs {
			if len(same) > 0 && e.Topic() != same[0].Topic {
				break
			}
			r, err := wire.Encode(ctx, e, j.source, now)
			if err != nil {
				return fmt.Errorf("say: %w", err)
			}
			same = append(same, r)
		}
		if err := j.c.Facts.ProduceSync(ctx, same...).FirstErr(); err != nil {
			return fmt.Errorf("say %s: %w", evs[0].Type(), j.c.Unwritten(ctx, evs[0].Topic(), err))
		}
		evs = evs[len(same):]
	}
	return nil
}

// Retract writes a tombstone for the key of a fact.
func (j *Journal) Retract(ctx context.Context, e events.Event) error {
	r, err := wire.Encode(ctx, e, j.source, j.c.Config.Now())
	if err != nil {
		return fmt.Errorf("retract: %w", err)
	}
	r.Value = nil
	if err := j.c.Facts.ProduceSync(ctx, r).FirstErr(); err != nil {
		return fmt.Errorf("retract %s: %w", e.Type(), j.c.Unwritten(ctx, e.Topic(), err))
	}
	return nil
}

// View returns what is known after reading every record that was acknowledged before the call.
func (j *Journal) View(ctx context.Context) (*facts.View, error) {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return nil, errors.New("view facts: journal is closed")
	}
	r := j.waiting
	if r == nil {
		r = &round{done: make(chan struct{})}
		j.waiting = r
		j.wg.Go(func() { j.run(r) }) //nolint:contextcheck // callers share the reading, which outlives each of them
	}
	j.mu.Unlock()
	select {
	case <-r.done:
		if r.err != nil {
			return nil, fmt.Errorf("view facts: %w", r.err)
		}
		return j.view, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("view facts: %w", context.Cause(ctx))
	}
}

// run does a round once the one before it is over. From then on callers need another round.
func (j *Journal) run(r *round) {
	defer close(r.done)
	j.reading.Lock()
	defer j.reading.Unlock()
	j.mu.Lock()
	j.waiting = nil
	j.mu.Unlock()
	if j.broken != nil {
		r.err = j.broken
		return
	}
	ctx, cancel := context.WithTimeout(j.ctx, viewTimeout)
	defer cancel()
	r.err = j.catchUp(ctx)
}

// catchUp reads every topic up to where it ended when the broker first answered.
func (j *Journal) catchUp(ctx context.Context) error {
	until := make([]int64, len(j.at))
	for i := range until {
		until[i] = -1
	}
	for pause := 20 * time.Millisecond; ; {
		before := j.read()
		again, err := j.step(ctx, until)
		switch {
		case err != nil && (j.broken != nil || !again), err == nil && !again:
			return err
		case err == nil && j.read() > before:
			continue
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(pause):
			pause = min(2*pause, time.Second)
		}
		if err := j.renew(ctx); err != nil {
			return err
		}
	}
}

// read sums the offsets that were read up to.
func (j *Journal) read() (sum int64) {
	for _, p := range j.at {
		sum += p.Offset
	}
	return sum
}

// step asks each leader once for what is missing, and says whether to ask again.
func (j *Journal) step(ctx context.Context, until []int64) (again bool, err error) {
	leaders := map[int32][]int{}
	for i, p := range j.at {
		if until[i] < 0 || p.Offset < until[i] {
			leaders[p.Topic.Leaders[0]] = append(leaders[p.Topic.Leaders[0]], i)
		}
	}
	if err := j.settle(ctx, leaders); err != nil {
		_, refused := errors.AsType[*kerr.Error](err)
		return ctx.Err() == nil && (!refused || fetch.Passing(err)), err
	}
	answers := make([]fetch.Part, len(j.at))
	var g errgroup.Group
	for leader, mine := range leaders {
		g.Go(func() error {
			at := make([]fetch.Position, len(mine))
			for n, i := range mine {
				at[n] = j.at[i]
			}
			parts, err := fetch.Do(ctx, j.c.Facts, leader, at, 0)
			for n, p := range parts {
				answers[mine[n]] = p
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return ctx.Err() == nil, err
	}
	for _, mine := range leaders {
		for _, i := range mine {
			more, perr := j.take(i, answers[i], until)
			again = again || more
			if err == nil {
				err = perr
			}
		}
	}
	return again, err
}

// settle asks leaders that are new whether they tell of all that was acknowledged.
func (j *Journal) settle(ctx context.Context, leaders map[int32][]int) error {
	var g errgroup.Group
	for leader, mine := range leaders {
		var fresh []int
		var at []fetch.Position
		for _, i := range mine {
			if j.whole[i] < 0 || j.whole[i] != j.at[i].Topic.Epochs[0] {
				fresh, at = append(fresh, i), append(at, j.at[i])
			}
		}
		if len(fresh) == 0 {
			continue
		}
		g.Go(func() error {
			if err := fetch.Whole(ctx, j.c.Facts, leader, at); err != nil {
				return err
			}
			for _, i := range fresh {
				j.whole[i] = j.at[i].Topic.Epochs[0]
			}
			return nil
		})
	}
	return g.Wait()
}

// take applies the answer for one topic.
func (j *Journal) take(i int, a fetch.Part, until []int64) (again bool, err error) {
	p := &j.at[i]
	switch {
	case errors.Is(a.Err, kerr.OffsetOutOfRange):
		j.broken = fmt.Errorf("topic %s is cut: offset %d was read before and does not lie in it any more; see whether the log of Kafka was restored or lost, then start again",
			p.Topic.Name, p.Offset)
		return false, j.broken
	case a.Err != nil && fetch.Passing(a.Err):
		return true, fmt.Errorf("topic %s: %w", p.Topic.Name, a.Err)
	}
	for _, r := range a.Records {
		j.view.Apply(r.Topic, string(r.Key), wire.Header(r, wire.Type), r.Value, wire.Said(r))
	}
	p.Offset = a.Next
	if a.Err != nil {
		return false, fmt.Errorf("topic %s, offset %d: %w", p.Topic.Name, p.Offset, j.c.Explain(a.Err, "Read", p.Topic.Name))
	}
	if until[i] < 0 {
		until[i] = a.End
	}
	return p.Offset < until[i], nil
}

// renew looks for the leaders again, and for topics that are no longer those that were read.
func (j *Journal) renew(ctx context.Context) error {
	for i := range j.at {
		t, err := j.c.Lookup(ctx, j.at[i].Topic.Name)
		switch {
		case err != nil:
			return err
		case t.ID != j.at[i].Topic.ID:
			j.broken = fmt.Errorf("topic %s was made anew (id %s, was %s): what it said before is gone; start again to work with what it says now",
				t.Name, t.HexID(), j.at[i].Topic.HexID())
			return j.broken
		}
		j.at[i].Topic = t
	}
	return nil
}

// starts lists the first offset of each position's partition.
func starts(ctx context.Context, c *link.Cluster, at []fetch.Position) ([]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, link.AdminTimeout)
	defer cancel()
	names := make([]string, len(at))
	for i, p := range at {
		names[i] = p.Topic.Name
	}
	listed, err := c.Admin.ListStartOffsets(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("list start offsets: %w", err)
	}
	starts := make([]int64, len(at))
	for i, p := range at {
		o, ok := listed.Lookup(p.Topic.Name, p.Partition)
		if !ok {
			return nil, fmt.Errorf("list start offsets of %s: no answer", p.Topic.Name)
		}
		if o.Err != nil {
			return nil, fmt.Errorf("list start offsets of %s: %w", p.Topic.Name, c.Explain(o.Err, "Describe", p.Topic.Name))
		}
		starts[i] = o.Offset
	}
	return starts, nil
}
