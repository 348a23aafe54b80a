package fn

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sethvargo/go-envconfig"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/fn/endpoint"
	"github.com/almanac-data/almanac/functions/internal/fn/fntest"
)

func TestSpansAreSentWhereTheyAreAskedFor(t *testing.T) {
	var mu sync.Mutex
	var sent bytes.Buffer
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		sent.WriteString(r.URL.Path + " ")
		_, _ = io.Copy(&sent, r.Body)
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("K_REVISION", "collect-00007")
	p, err := New(t.Context(), "collect", envconfig.OsLookuper(), slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	h := endpoint.New("collect", func(context.Context, events.Event) error { return nil }, p.Options(0))
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(fntest.Encode(t, fntest.Due)))
	for k, v := range fntest.Header(events.TypeDue) {
		r.Header.Set(k, v)
	}
	h.ServeHTTP(httptest.NewRecorder(), r)
	p.Close()
	mu.Lock()
	defer mu.Unlock()
	for _, part := range []string{"/v1/traces", "collect", "collect-00007", "almanac.dataset", "flights", "cloudevents.event_id"} {
		if !strings.Contains(sent.String(), part) {
			t.Errorf("the collector got %q, want %s in it", sent.String(), part)
		}
	}
}

func TestIDsGoOnWithoutACollector(t *testing.T) {
	p := newProcess(t, nil)
	carrier := propagation.MapCarrier{}
	h := endpoint.New("collect", func(ctx context.Context, _ events.Event) error {
		otel.GetTextMapPropagator().Inject(ctx, carrier)
		return nil
	}, p.Options(0))
	for _, given := range []string{"", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(fntest.Encode(t, fntest.Due)))
		for k, v := range fntest.Header(events.TypeDue) {
			r.Header.Set(k, v)
		}
		if given != "" {
			r.Header.Set("Ce-Traceparent", given)
		}
		h.ServeHTTP(httptest.NewRecorder(), r)
		if got := carrier["traceparent"]; len(got) != 55 || given != "" && got[:35] != given[:35] || got == given {
			t.Errorf("after %q the handler says on %q, want a span of its own in the same trace", given, got)
		}
	}
}
