package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sethvargo/go-envconfig"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/kafka"
	"github.com/almanac-data/almanac/functions/internal/onebox"
)

// cluster is an embedded broker on which one fact was said.
func cluster(t *testing.T) (address string) {
	t.Helper()
	broker, err := onebox.StartBroker(onebox.BrokerConfig{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	c, err := kafka.Open(t.Context(), kafka.Config{Brokers: []string{broker.Addr()}, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.EnsureTopics(t.Context(), events.FactTopics(), events.DueTopics(), nil); err != nil {
		t.Fatal(err)
	}
	j, err := c.Journal(t.Context(), "collect")
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if err := j.Say(t.Context(), events.Collected{Piece: events.Piece{Dataset: "flights", Window: "2024-01-01", Generation: 1, Slice: 1}}); err != nil {
		t.Fatal(err)
	}
	return broker.Addr()
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func TestASourceWakesItsSinkAndStops(t *testing.T) {
	woken := make(chan http.Header, 10)
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		woken <- r.Header
		w.WriteHeader(http.StatusAccepted) // as a JobSink does
	}))
	defer sink.Close()
	port := freePort(t)
	p, err := fn.New(t.Context(), "source", envconfig.MapLookuper(map[string]string{
		"ALMANAC_KAFKA": cluster(t), "ALMANAC_SOURCE_NAME": "process", "ALMANAC_SOURCE_TOPICS": events.Collected{}.Topic(), "K_SINK": sink.URL,
		"K_CE_OVERRIDES": `{"extensions":{"site":"west"}}`, "NAMESPACE": "almanac", "PORT": port, "ALMANAC_QUIET": "1ms",
	}), slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, p) }()
	select {
	case h := <-woken:
		if h.Get("Ce-Type") != (events.Collected{}).Type() || h.Get("Ce-Site") != "west" || h.Get("Kn-Namespace") != "almanac" || h.Get("Ce-Knativekafkaoffset") == "" {
			t.Errorf("the sink is woken with %v", h)
		}
	case err := <-ended:
		t.Fatalf("the source ended: %v", err)
	case <-time.After(30 * time.Second):
		t.Fatal("the sink is not woken")
	}
	for path, want := range map[string]int{"/readyz": 200, "/healthz": 200, "/metrics": 200, "/": 404} {
		r, err := http.Get("http://127.0.0.1:" + port + path)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != want {
			t.Errorf("%s answers %d, want %d", path, r.StatusCode, want)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("the source ended with %v", err)
	}
}

func TestASourceOfATopicThatIsMissingSaysSo(t *testing.T) {
	p, err := fn.New(t.Context(), "source", envconfig.MapLookuper(map[string]string{
		"ALMANAC_KAFKA": cluster(t), "ALMANAC_SOURCE_NAME": "process", "ALMANAC_SOURCE_TOPICS": "almanac.fact.nothing", "K_SINK": "http://127.0.0.1:1",
	}), slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := run(t.Context(), p); err == nil || !strings.Contains(err.Error(), "almanac topics apply") {
		t.Errorf("run = %v, want what makes the topic", err)
	}
}
