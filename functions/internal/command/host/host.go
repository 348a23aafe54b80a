// Package host runs every function in one process, on one listener, with the sources that wake them.
package host

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/command/state"
	"github.com/almanac-data/almanac/functions/internal/fn/endpoint"
	"github.com/almanac-data/almanac/functions/internal/kafka"
	"github.com/almanac-data/almanac/functions/internal/onebox"
	"github.com/almanac-data/almanac/functions/internal/relay"
)

// trigger says which topics wake a function, and how many events it takes at once. On a cluster several runs share them: by the topic of wakes
// where there is one, else one of the runs has a topic at a time.
type trigger struct {
	function string
	topics   []string
	inFlight int
	wakes    string
}

// triggers is what the KafkaSources of a cluster are, in one process.
func triggers() []trigger {
	fact := func(names ...string) []string {
		topics := make([]string, len(names))
		for i, name := range names {
			topics[i] = events.FactTopicPrefix + name
		}
		return topics
	}
	all := []trigger{
		{"calendar", fact("stored", "aggregated", "restated", "stopped", "released"), 1, ""},
		{"collect", []string{events.DueTopicPrefix + events.StepCollect}, 2, ""},
		{"process", fact("collected"), 2, ""},
		{"validate", fact("processed"), 2, ""},
		{"store", fact("validated"), 2 * state.Parallel, ""},
		{"aggregate", []string{events.DueTopicPrefix + events.StepAggregate}, 1, ""},
		{"deliver", []string{events.DueTopicPrefix + events.StepDeliver}, 1, ""},
	}
	for i, t := range all {
		if wakes := events.WakeTopicPrefix + t.function; slices.Contains(events.WakeTopics(), wakes) {
			all[i].wakes = wakes
		}
	}
	return all
}

// dialer connects to an address.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// Host runs every function on one listener, and the sources that wake them.
type Host struct {
	*state.State

	Base string // URL of the listener, from Serve on

	options  *command.Options
	log      *slog.Logger
	handlers map[string]endpoint.Handler
	troubles troubles
	api      http.Handler
	dial     dialer // to it, from within the process
	sources  sync.WaitGroup
	idle     func() // closes the connections of the sources
}

// linger is how long a commit waits for other windows that are nearly there.
const linger = 250 * time.Millisecond

// Serve listens until ctx is done. It returns at once; the channel gives the end of the server.
func (h *Host) Serve(ctx context.Context, l net.Listener) <-chan error {
	mux := http.NewServeMux()
	for name, handle := range h.handlers {
		mux.Handle("/functions/"+name, endpoint.New(name, h.troubles.watch(name, handle), h.Proc.Options(state.EventTimeout)))
	}
	mux.Handle("/functions/deadletter", relay.DeadLetterSink(h.Cluster.Bury, h.log))
	mux.Handle("/", h.Proc.Instrument(h.api))
	h.Base = "http://" + l.Addr().String()
	door := onebox.NewShortcut(l)
	h.dial = door.Dial
	ended := make(chan error, 1)
	go func() { ended <- h.Proc.Listen(ctx, door, mux) }()
	return ended
}

// Start starts the sources; they end with ctx, and Wait waits for that.
func (h *Host) Start(ctx context.Context) error {
	client := relay.NewClient(h.dial)
	// A connection that was made and never used would hold up the end of the server for five seconds.
	h.idle = client.CloseIdleConnections
	for _, t := range triggers() {
		h.Proc.Meter.Functions(t.function)
		feed, err := h.feed(ctx, t)
		if err != nil {
			return err
		}
		source := relay.KafkaSource{
			Namespace: "default", Name: t.function, Sink: h.Base + "/functions/" + t.function, DeadLetter: h.Base + "/functions/deadletter",
			Done: h.count(t.function), InFlight: t.inFlight, Retry: h.retry(), Commit: 200 * time.Millisecond, Client: client, Log: h.log,
		}
		h.sources.Go(func() {
			if err := source.Run(ctx, feed); err != nil {
				h.log.Warn("source ended", "source", t.function, "error", err)
			}
		})
	}
	if h.Folder != nil { // real servers let go of old blocks by their retention
		h.sources.Go(func() { h.trimming(ctx) })
	}
	ping := relay.PingSource{
		Namespace: "default", Name: "calendar", Schedule: "*/10 * * * * *", Sink: h.Base + "/functions/calendar",
		Clock: relay.Running(h.options.Now), Client: client, Log: h.log,
	}
	h.sources.Go(func() {
		if err := ping.Run(ctx); err != nil {
			h.log.Warn("ping source ended", "error", err)
		}
	})
	return nil
}

// feed opens what hands out the events that wake a function: all of them over a data folder, which one run holds, and this run's share on a
// cluster.
func (h *Host) feed(ctx context.Context, t trigger) (relay.Feed, error) {
	if h.Folder != nil {
		feed, err := h.Cluster.Feed(ctx, relay.Group(t.function), t.topics, h.log)
		if err == nil {
			h.OnClose(func() error { feed.Close(); return nil })
		}
		return feed, err
	}
	member, err := h.join(relay.Group(t.function), t.topics)
	if err != nil || t.wakes == "" {
		return member, err
	}
	if _, err := h.Cluster.Topic(ctx, t.wakes); err != nil {
		return nil, err
	}
	h.sources.Go(func() {
		tell := func(err error) {
			h.troubles.note("source of "+t.function, err)
			if err != nil {
				h.log.WarnContext(ctx, "source fails and tries again", "source", t.function, "error", err)
			}
		}
		if err := h.Cluster.Spread(ctx, member, t.wakes, tell); err != nil {
			tell(err)
		}
	})
	return h.join(shared(t.function), []string{t.wakes})
}

func (h *Host) join(group string, topics []string) (*kafka.Member, error) {
	member, err := h.Cluster.Join(group, topics, h.log)
	if err == nil {
		h.OnClose(func() error { member.Close(); return nil })
	}
	return member, err
}

func (h *Host) retry() relay.Retry {
	if h.Folder != nil {
		return relay.Retry{}
	}
	return relay.Patient
}

// shared is the group of those that share the wakes of a function.
func shared(function string) string { return relay.Group(function) + "-shared" }

// count returns what counts the dead letters of a function.
func (h *Host) count(function string) func(topic, outcome string) {
	return func(_, outcome string) {
		if outcome != relay.Delivered {
			h.Proc.Meter.DeadLetter(function)
		}
	}
}
