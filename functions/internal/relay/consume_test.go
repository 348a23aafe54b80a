package relay_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/relay"
)

// TestASourceKeepsDeadLettersItself lets a function refuse one event of two.
func TestASourceKeepsDeadLettersItself(t *testing.T) {
	b := mustStart(t, folder(t))
	defer b.close(t)
	for n := range 2 {
		if err := b.journal.Say(t.Context(), events.Collected{Piece: pieceOf(n)}); err != nil {
			t.Fatal(err)
		}
	}
	to := newSink(t, http.StatusUnprocessableEntity, http.StatusAccepted)
	outcomes := make(chan string, 2)
	s := relay.KafkaSource{
		Name: "process", Namespace: "almanac", Sink: to.URL, Extensions: map[string]string{"site": "west"}, InFlight: 1, Ordered: true,
		Client: relay.NewClient(nil), Log: quiet, Done: func(_, outcome string) { outcomes <- outcome },
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Consume(ctx, b.cluster, []string{events.Collected{}.Topic()}) }()
	for _, want := range []string{relay.Dead, relay.Delivered} {
		select {
		case got := <-outcomes:
			if got != want {
				t.Errorf("outcome is %s, want %s", got, want)
			}
		case err := <-ended:
			t.Fatalf("the source ended: %v", err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, r := range to.requests() {
		if r.Get("Ce-Site") != "west" || r.Get("Kn-Namespace") != "almanac" {
			t.Errorf("an event came as %v", r)
		}
	}
	d, err := b.cluster.DeadLetter(t.Context(), 0, 0)
	if err != nil || d.Attributes["site"] != "west" || d.Attributes["knativeerrorcode"] != "422" || d.Attributes["knativeerrordest"] != to.URL {
		t.Errorf("dead letter is %v, %v", d.Attributes, err)
	}
	if lag, err := b.cluster.Lag(t.Context(), relay.Group("process"), []string{events.Collected{}.Topic()}); err != nil || lag != 0 {
		t.Errorf("lag is %d, %v", lag, err)
	}
}
