package relay

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/almanac-data/almanac/functions/internal/kafka"
	"github.com/almanac-data/almanac/functions/internal/relay/post"
)

// Feed is where a source gets records and notes how far it got.
type Feed interface {
	// Next waits for records. An error may pass.
	Next(ctx context.Context) ([]kafka.Record, error)
	// Commit notes which offset comes next.
	Commit(ctx context.Context, next map[kafka.Place]int64) error
	// Holds says whether a record is still this source's to pass on, and no other's that has got its partition since.
	Holds(r kafka.Record) bool
}

// KafkaSource wakes a function for each record of topics, by one POST in CloudEvents binary mode, as Knative's KafkaSource does.
//
// 404, 408, 409, 429, 500 and above, and failures of the connection are tried again; any other failure, and one that outlasts its
// retries, goes to the dead-letter sink; and what that does not take either is dropped. All of it counts as done: nothing may rest
// on an event that arrives.
type KafkaSource struct {
	Namespace string // of the source, in attributes
	Name      string // of the source, in attributes
	Sink      string // URL
	// Others are URLs of more instances of the function. Events go to each in turn, and pass over one that does not answer.
	Others     []string
	DeadLetter string            // URL, or empty for none
	Extensions map[string]string // set in each event
	// Ordered sends the records of a partition one after another and holds the partition while one is retried.
	Ordered  bool
	InFlight int // records at once; 0 means 50
	Retry    Retry
	Commit   time.Duration // how often offsets are committed; 0 means 1 s
	Grace    time.Duration // how long requests under way may take after a stop; 0 means 10 s
	Client   *http.Client
	Log      *slog.Logger
	// Done, if set, is told of each record what became of it: delivered, dead or dropped.
	Done func(topic, outcome string)
}

// What became of a record.
const (
	Delivered = "delivered"
	Dead      = "dead"
	Dropped   = "dropped"
)

// Run passes records on until ctx ends; it then waits for requests under way, at most for the grace, and commits. What was not
// done by then comes again. The error is that of the last commit.
func (s KafkaSource) Run(ctx context.Context, feed Feed) error {
	if s.InFlight == 0 {
		s.InFlight = 50
	}
	if s.Commit == 0 {
		s.Commit = time.Second
	}
	if s.Grace == 0 {
		s.Grace = 10 * time.Second
	}
	sending, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	r := &run{KafkaSource: s, feed: feed, stop: ctx.Done(), slots: make(chan struct{}, s.InFlight), lanes: map[kafka.Place]chan sent{},
		sinks: post.NewSinks(append([]string{s.Sink}, s.Others...)...), dead: post.NewSinks(s.DeadLetter),
		sender:   post.Sender{Client: s.Client, Retry: s.Retry, Again: post.KafkaRetries, Namespace: s.Namespace, Extensions: s.Extensions},
		progress: progress{places: map[kafka.Place]*lane{}}}
	r.sender.Waiting = func(e post.Event, a post.Answer) {
		r.Log.WarnContext(sending, "event is not taken yet", "source", r.Name, "id", e.Attributes["id"], "type", e.Attributes["type"], "answer", a.String())
	}
	var committing sync.WaitGroup
	ended := make(chan struct{})
	committing.Go(func() { r.commitEach(sending, ended) })
	r.read(ctx, sending)
	idle := make(chan struct{})
	go func() {
		r.wg.Wait()
		close(idle)
	}()
	grace := time.NewTimer(s.Grace)
	defer grace.Stop()
	select {
	case <-idle:
	case <-grace.C:
		giveUp()
		<-idle
	}
	close(ended)
	committing.Wait()
	return r.commit(context.WithoutCancel(ctx))
}

// run is the state of one Run.
type run struct {
	KafkaSource

	sender   post.Sender
	sinks    *post.Sinks
	dead     *post.Sinks
	feed     Feed
	stop     <-chan struct{}
	slots    chan struct{}
	lanes    map[kafka.Place]chan sent // ordered: one worker each
	progress progress
	wg       sync.WaitGroup
}

// sent is a record on its way.
type sent struct {
	record kafka.Record
	ticket *ticket
}

func (r *run) read(ctx, sending context.Context) {
	defer func() {
		for _, lane := range r.lanes {
			close(lane)
		}
	}()
	for ctx.Err() == nil {
		records, err := r.feed.Next(ctx)
		if err != nil && ctx.Err() == nil {
			r.Log.WarnContext(ctx, "source cannot read", "source", r.Name, "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
		for _, rec := range records {
			select {
			case r.slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			r.start(sending, sent{rec, r.progress.add(rec)})
		}
	}
}

func (r *run) start(ctx context.Context, s sent) {
	if !r.Ordered {
		r.wg.Go(func() { r.deliver(ctx, s) })
		return
	}
	lane, ok := r.lanes[s.record.Place]
	if !ok {
		lane = make(chan sent, r.InFlight)
		r.lanes[s.record.Place] = lane
		r.wg.Go(func() {
			for s := range lane {
				r.deliver(ctx, s)
			}
		})
	}
	lane <- s
}

func (r *run) deliver(ctx context.Context, s sent) {
	defer func() { <-r.slots }()
	if r.Ordered && r.stopped() || !r.feed.Holds(s.record) {
		return // in order or not at all; or by whoever has the partition now
	}
	e := post.EventOf(s.record, r.Namespace, r.Name)
	outcome := Delivered
	if a := r.sender.Send(ctx, r.stop, r.sinks, e); !a.OK() {
		if r.stopped() && post.KafkaRetries(a) {
			return // comes again
		}
		outcome = r.bury(ctx, e, a)
		if outcome == "" {
			return
		}
	}
	if r.Done != nil {
		r.Done(s.record.Topic, outcome)
	}
	r.progress.done(s.ticket)
}

func (r *run) stopped() bool {
	select {
	case <-r.stop:
		return true
	default:
		return false
	}
}

// bury sends an event to the dead-letter sink. It returns "" when it was stopped on the way.
func (r *run) bury(ctx context.Context, e post.Event, a post.Answer) string {
	id, typ, answer := e.Attributes["id"], e.Attributes["type"], a.String()
	if r.DeadLetter != "" {
		d := r.sender.Send(ctx, r.stop, r.dead, e.Dead(a))
		switch {
		case d.OK():
			r.Log.WarnContext(ctx, "event went to the dead letters", "source", r.Name, "id", id, "type", typ, "answer", answer)
			return Dead
		case r.stopped() && post.KafkaRetries(d):
			return ""
		}
		answer += "; dead-letter sink: " + d.String()
	}
	r.Log.ErrorContext(ctx, "event is dropped", "source", r.Name, "id", id, "type", typ, "answer", answer)
	return Dropped
}

func (r *run) commitEach(ctx context.Context, ended <-chan struct{}) {
	t := time.NewTicker(r.Commit)
	defer t.Stop()
	for {
		select {
		case <-ended:
			return
		case <-t.C:
		}
		if err := r.commit(ctx); err != nil {
			r.Log.WarnContext(ctx, "source cannot commit", "source", r.Name, "error", err)
		}
	}
}

func (r *run) commit(ctx context.Context) error {
	next, lanes := r.progress.next(r.feed.Holds)
	if len(next) == 0 {
		return nil
	}
	if err := r.feed.Commit(ctx, next); err != nil {
		return err
	}
	r.progress.committed(next, lanes)
	return nil
}
