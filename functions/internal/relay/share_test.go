package relay_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/almanac-data/almanac/functions/internal/kafka"
	"github.com/almanac-data/almanac/functions/internal/relay"
)

func records(n int64) (all []kafka.Record) {
	for offset := range n {
		all = append(all, record(offset))
	}
	return all
}

func TestSeveralSinksGetEventsInTurn(t *testing.T) {
	one, two := newSink(t, 200), newSink(t, 200)
	outcomes := deliver(t, relay.KafkaSource{Sink: one.URL, Others: []string{two.URL}}, &feed{records: records(10)}, 10)
	if a, b := len(one.requests()), len(two.requests()); a != 5 || b != 5 || outcomes[relay.Delivered] != 10 {
		t.Errorf("the sinks got %d and %d events, %v, want 5 each", a, b, outcomes)
	}
}

func TestASinkThatIsDownIsPassedOver(t *testing.T) {
	down, up, dead := newSink(t, 200), newSink(t, 503, 200), newSink(t, 202)
	down.Close()
	f := &feed{records: records(10)}
	outcomes := deliver(t, relay.KafkaSource{Sink: down.URL, Others: []string{up.URL}, DeadLetter: dead.URL}, f, 10)
	if outcomes[relay.Delivered] != 10 || f.committed[place] != 10 || len(up.requests()) != 11 {
		t.Errorf("%v, committed %v, %d requests, want all delivered by the one that answers, one of them by a second request", outcomes, f.committed, len(up.requests()))
	}
	gone := newSink(t, 200)
	gone.Close()
	outcomes = deliver(t, relay.KafkaSource{Sink: down.URL, Others: []string{gone.URL}, DeadLetter: dead.URL}, &feed{records: records(1)}, 1)
	if outcomes[relay.Dead] != 1 {
		t.Errorf("%v, want a dead letter where no sink answers", outcomes)
	}
}

func TestTicksPassOverASinkThatIsDown(t *testing.T) {
	down, up := newSink(t, 200), newSink(t, 200)
	down.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	s := relay.PingSource{
		Namespace: "default", Name: "calendar", Schedule: "* * * * * *", Sink: down.URL, Others: []string{up.URL}, Clock: relay.Running(time.Now),
		Client: relay.NewClient(nil), Log: quiet,
	}
	go func() { ended <- s.Run(ctx) }()
	select {
	case <-up.arrived:
	case <-ctx.Done():
		t.Error("no tick arrives at the sink that answers")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestARecordThatAnotherHasByNowIsNotSent(t *testing.T) {
	to, f := newSink(t, 200), &feed{records: records(3), lost: map[int64]bool{1: true}}
	deliver(t, relay.KafkaSource{Sink: to.URL, Ordered: true}, f, 2)
	if n := len(to.requests()); n != 2 || f.committed[place] != 1 {
		t.Errorf("%d requests, committed %v, want 2 and 1: what comes after the lost one is not done without a gap", n, f.committed)
	}
}

// TestAPartitionThatIsGotAgainBeginsAnew loses a partition while a record of it is under way, and gets it back later in the log.
func TestAPartitionThatIsGotAgainBeginsAnew(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Ce-Id") == "id-1" {
			<-release
		}
	}))
	defer server.Close()
	defer close(release)
	before, after := record(1), record(10)
	before.Term, after.Term = 1, 2
	f := &feed{records: []kafka.Record{before, after}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{}, 2)
	s := relay.KafkaSource{Sink: server.URL, Client: relay.NewClient(nil), Log: quiet, Grace: time.Millisecond, Done: func(string, string) { done <- struct{}{} }}
	ended := make(chan error)
	go func() { ended <- s.Run(ctx, f) }()
	<-done
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if f.committed[place] != 11 {
		t.Errorf("committed is %v, want 11: what was under way before is of no account", f.committed)
	}
}
