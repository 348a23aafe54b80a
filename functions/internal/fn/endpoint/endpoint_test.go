package endpoint

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/fn/fntest"
	"github.com/almanac-data/almanac/functions/internal/fn/meter"
	"github.com/almanac-data/almanac/functions/internal/problem"
)

func without(header map[string]string, name string) map[string]string {
	delete(header, name)
	return header
}

func with(header map[string]string, name, value string) map[string]string {
	header[name] = value
	return header
}

func TestHandlerAnswers(t *testing.T) {
	ok := func(context.Context, events.Event) error { return nil }
	fails := func(err error) Handler { return func(context.Context, events.Event) error { return err } }
	structured := func(data string) string {
		return `{"specversion":"1.0","id":"42","source":"/almanac/calendar","type":"` + events.TypeDue + `","datacontenttype":"application/json","data":` + data + `}`
	}
	tests := map[string]struct {
		handler Handler
		method  string
		header  map[string]string
		body    string
		status  int
		text    string // part of the body
		outcome string
	}{
		"an event in binary mode is done":                       {ok, "POST", fntest.Header(events.TypeDue), fntest.Encode(t, fntest.Due), 200, "", "done"},
		"an event in structured mode is done":                   {ok, "POST", map[string]string{"Content-Type": "application/cloudevents+json"}, structured(fntest.Encode(t, fntest.Due)), 200, "", "done"},
		"a tick is done":                                        {ok, "POST", fntest.Header(TypeTick), "tick", 200, "", "done"},
		"a charset beside JSON does no harm":                    {ok, "POST", with(fntest.Header(events.TypeDue), "Content-Type", "application/json; charset=utf-8"), fntest.Encode(t, fntest.Due), 200, "", "done"},
		"what the handler calls invalid is not retried":         {fails(fmt.Errorf("slice 3: %w", events.ErrInvalid)), "POST", fntest.Header(events.TypeDue), fntest.Encode(t, fntest.Due), 422, "slice 3: invalid", "invalid"},
		"any other error is retried":                            {fails(errors.New("broker away")), "POST", fntest.Header(events.TypeDue), fntest.Encode(t, fntest.Due), 503, "broker away", "failed"},
		"a panic is retried":                                    {func(context.Context, events.Event) error { panic("oops") }, "POST", fntest.Header(events.TypeDue), fntest.Encode(t, fntest.Due), 503, "panic: oops", "panic"},
		"an event type of others is invalid":                    {ok, "POST", fntest.Header("com.example.x"), "{}", 422, `"com.example.x" is not one of Almanac's`, "invalid"},
		"data that are not JSON are invalid":                    {ok, "POST", fntest.Header(events.TypeDue), "{", 422, "unexpected end of JSON", "invalid"},
		"data without a dataset are invalid":                    {ok, "POST", fntest.Header(events.TypeDue), `{"window":"2001-01-05"}`, 422, "dataset is missing", "invalid"},
		"data of another media type are invalid":                {ok, "POST", with(fntest.Header(events.TypeDue), "Content-Type", "text/csv"), "a,b", 422, "are text/csv, not JSON", "invalid"},
		"a request without CloudEvents headers is refused":      {ok, "POST", map[string]string{"Content-Type": "application/json"}, "{}", 415, "not a CloudEvent", "refused"},
		"a CloudEvent without an id is refused":                 {ok, "POST", without(fntest.Header(events.TypeDue), "Ce-Id"), fntest.Encode(t, fntest.Due), 400, "id: MUST be a non-empty string", "refused"},
		"a CloudEvent without a source is refused":              {ok, "POST", without(fntest.Header(events.TypeDue), "Ce-Source"), fntest.Encode(t, fntest.Due), 400, "source: REQUIRED", "refused"},
		"a CloudEvent of version 9 is refused":                  {ok, "POST", with(fntest.Header(events.TypeDue), "Ce-Specversion", "9"), fntest.Encode(t, fntest.Due), 415, "not a CloudEvent", "refused"},
		"a time that is none is refused":                        {ok, "POST", with(fntest.Header(events.TypeDue), "Ce-Time", "yesterday"), fntest.Encode(t, fntest.Due), 400, "not a CloudEvent", "refused"},
		"a structured event cut short is refused":               {ok, "POST", map[string]string{"Content-Type": "application/cloudevents+json"}, structured("{}")[:40], 400, "not a CloudEvent", "refused"},
		"a batch is refused":                                    {ok, "POST", map[string]string{"Content-Type": "application/cloudevents-batch+json"}, "[" + structured("{}") + "]", 415, "batches are not taken", "refused"},
		"GET is refused":                                        {ok, "GET", fntest.Header(events.TypeDue), "", 405, "send events by POST, not GET", "refused"},
		"an event of more than 1 MiB is refused":                {ok, "POST", fntest.Header(events.TypeDue), strings.Repeat(" ", maxEvent) + fntest.Encode(t, fntest.Due), 413, "claims, not rows", "refused"},
		"a structured event of more than 1 MiB is refused":      {ok, "POST", map[string]string{"Content-Type": "application/cloudevents+json"}, strings.Repeat(" ", maxEvent+1), 413, "claims, not rows", "refused"},
		"a dataset name that would leave the folder is invalid": {ok, "POST", fntest.Header(events.TypeDue), `{"dataset":"../x","window":"2001"}`, 422, "slash", "invalid"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var logged bytes.Buffer
			reg := prometheus.NewRegistry()
			o := Options{Log: slog.New(slog.NewJSONHandler(&logged, nil)), Meter: meter.New(reg, time.Now)}
			server := httptest.NewServer(New("collect", tt.handler, o))
			defer server.Close()
			status, text, header := fntest.Send(t, server.URL, tt.method, tt.body, tt.header)
			if status != 200 && header.Get("Content-Type") != problem.ContentType {
				t.Errorf("answer is %s, no problem detail", header.Get("Content-Type"))
			}
			text = problem.Text([]byte(text))
			if status != tt.status || !strings.Contains(text, tt.text) {
				t.Errorf("answer = %d %q, want %d with %q", status, text, tt.status, tt.text)
			}
			if (header.Get("Retry-After") != "") != (status == 503) {
				t.Errorf("Retry-After = %q with %d", header.Get("Retry-After"), status)
			}
			if got := strings.Count(logged.String(), "\n"); got != map[bool]int{true: 0, false: 1}[status == 200] {
				t.Errorf("logged %d lines: %s", got, &logged)
			}
			if strings.Contains(text, ".go:") {
				t.Errorf("answer %q shows a stack", text)
			}
			if got := series(t, reg, "almanac_events_total", "outcome"); len(got) != 1 || got[tt.outcome] != 1 {
				t.Errorf("almanac_events_total = %v, want one %s", got, tt.outcome)
			}
		})
	}
}

// series lists the values of a counter by the value of one of its labels.
func series(t *testing.T, reg *prometheus.Registry, name, label string) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == label {
					all[l.GetValue()] += m.GetCounter().GetValue()
				}
			}
		}
	}
	return all
}

func TestHandlerGetsTheEvent(t *testing.T) {
	tests := map[string]struct {
		ceType string
		body   string
		want   events.Event
	}{
		"a due":  {events.TypeDue, fntest.Encode(t, fntest.Due), &fntest.Due},
		"a tick": {TypeTick, `{}`, nil},
	}
	for name, tt := range tests {
		var got events.Event
		h := New("collect", func(_ context.Context, ev events.Event) error { got = ev; return nil }, Options{})
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(tt.body))
		for k, v := range fntest.Header(tt.ceType) {
			r.Header.Set(k, v)
		}
		h.ServeHTTP(httptest.NewRecorder(), r)
		if fntest.Encode(t, got) != fntest.Encode(t, tt.want) {
			t.Errorf("%s: handler got %#v, want %#v", name, got, tt.want)
		}
	}
}

func TestFailureIsLoggedWithItsPiece(t *testing.T) {
	var logged bytes.Buffer
	h := New("collect", func(context.Context, events.Event) error { return errors.New("broker away") },
		Options{Log: slog.New(slog.NewJSONHandler(&logged, nil))})
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(fntest.Encode(t, fntest.Due)))
	for k, v := range fntest.Header(events.TypeDue) {
		r.Header.Set(k, v)
	}
	h.ServeHTTP(httptest.NewRecorder(), r)
	var line map[string]any
	if err := json.Unmarshal(logged.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	delete(line, "time")
	delete(line, "took")
	want := `{"attempt":4,"dataset":"flights","error":"broker away","generation":2,"id":"42","level":"ERROR","msg":"event failed","slice":3,"type":"dev.almanac.due.v1","window":"2001-01-05"}`
	if got := fntest.Encode(t, line); got != want {
		t.Errorf("logged %s, want %s", got, want)
	}
}

func TestWorkOutlivesItsCallerButNotItsTimeout(t *testing.T) {
	called := make(chan context.Context)
	ended := make(chan error, 1)
	h := New("collect", func(ctx context.Context, _ events.Event) error {
		called <- ctx
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}, Options{Timeout: 200 * time.Millisecond})
	caller, hangUp := context.WithCancel(t.Context())
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(fntest.Encode(t, fntest.Due))).WithContext(caller)
	for k, v := range fntest.Header(events.TypeDue) {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	answered := make(chan struct{})
	go func() { h.ServeHTTP(w, r); close(answered) }()
	work := <-called
	hangUp()
	if err := work.Err(); err != nil {
		t.Errorf("work ended with its caller: %v", err)
	}
	<-answered
	if err := <-ended; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("work ended by %v, want its deadline", err)
	}
	if w.Code != 503 || !strings.Contains(w.Body.String(), "ALMANAC_TIMEOUT") {
		t.Errorf("answer = %d %q, want 503 that names ALMANAC_TIMEOUT", w.Code, w.Body)
	}
}

func TestTraceGoesOn(t *testing.T) {
	const trace, other = "0af7651916cd43dd8448eb211c80319c", "1111111111111111aaaaaaaaaaaaaaaa"
	tests := map[string]struct {
		header map[string]string
		want   string // trace id
	}{
		"from the event's extension":                    {with(with(fntest.Header(events.TypeDue), "Ce-Traceparent", "00-"+trace+"-b7ad6b7169203331-01"), "Traceparent", "00-"+other+"-b7ad6b7169203331-01"), trace},
		"from the request where the event has none":     {with(fntest.Header(events.TypeDue), "Traceparent", "00-"+other+"-b7ad6b7169203331-01"), other},
		"from the request where the event's is garbage": {with(with(fntest.Header(events.TypeDue), "Ce-Traceparent", "garbage"), "Traceparent", "00-"+other+"-b7ad6b7169203331-01"), other},
	}
	for name, tt := range tests {
		spans := tracetest.NewSpanRecorder()
		carrier := propagation.MapCarrier{}
		h := New("collect", func(ctx context.Context, _ events.Event) error {
			propagation.TraceContext{}.Inject(ctx, carrier)
			return errors.New("broker away")
		}, Options{Tracer: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))})
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(fntest.Encode(t, fntest.Due)))
		for k, v := range tt.header {
			r.Header.Set(k, v)
		}
		h.ServeHTTP(httptest.NewRecorder(), r)
		if !strings.HasPrefix(carrier["traceparent"], "00-"+tt.want+"-") {
			t.Errorf("%s: handler says on %q, want trace %s", name, carrier["traceparent"], tt.want)
		}
		span := spans.Ended()[0]
		got := attribute.NewSet(span.Attributes()...)
		if v, _ := got.Value("almanac.window"); span.Name() != "collect" || v.AsString() != "2001-01-05" || span.Status().Description != "broker away" {
			t.Errorf("%s: span = %s %v %v", name, span.Name(), span.Attributes(), span.Status())
		}
	}
}

func TestStrangersDoNotMakeLabels(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := meter.New(reg, time.Now)
	h := New("collect", func(context.Context, events.Event) error { return nil }, Options{Meter: m})
	for i := range 100 {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}"))
		for k, v := range fntest.Header(fmt.Sprintf("com.example.%d", i)) {
			r.Header.Set(k, v)
		}
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	if got := series(t, reg, "almanac_events_total", "type"); len(got) != 1 || got["unknown"] != 100 {
		t.Errorf("100 types of strangers make %v, want them as one", got)
	}
}

func TestATombstoneIsNotHandled(t *testing.T) {
	h := New("process", func(context.Context, events.Event) error { return errors.New("handled") }, Options{})
	r := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
	for name, value := range map[string]string{"Ce-Specversion": "1.0", "Ce-Id": "1", "Ce-Source": "/almanac/x", "Ce-Type": events.TypeCollected} {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Errorf("a tombstone was answered with %d %s, want 200", w.Code, w.Body)
	}
}
