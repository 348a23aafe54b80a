// Package endpoint receives CloudEvents by HTTP, hands them to a Handler, each in its own goroutine, and answers, logs, counts and
// traces what came of it.
package endpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/fn/meter"
	"github.com/almanac-data/almanac/functions/internal/problem"
)

// Handler does one piece of work. The event is a pointer to a struct of package events (*events.Due, *events.Collected, ...), or
// nil for a tick. It is a hint: the handler looks at the facts, does what is missing, and may be called again, and at once by
// others, for the same event. An error that wraps events.ErrInvalid says that no retry can help.
//
// The context outlives the caller's connection, ends after the timeout of events or when the process has no more time, and
// carries the trace of the event.
type Handler func(ctx context.Context, ev events.Event) error

// Options of a handler; the zero value is usable.
type Options struct {
	Log     *slog.Logger
	Meter   *meter.Metrics
	Tracer  trace.TracerProvider
	Timeout time.Duration // of one event; 5 minutes if 0
}

// New is the CloudEvents endpoint of a function, for any path. It answers
//
//	200            done, or nothing to do
//	422            no retry can help: the handler, the event's type or its data said events.ErrInvalid; the text says why
//	503            try again later: any other error, a panic, or the timeout
//	400 405 413 415  not one CloudEvent sent by POST with at most 1 MiB
//
// each but 200 with a problem detail (RFC 9457), and logs, counts and traces each. An event with another answer than 200 is logged once, here.
func New(name string, h Handler, o Options) http.Handler { return newEndpoint(name, h, o) }

func newEndpoint(name string, h Handler, o Options) *endpoint {
	e := &endpoint{name: name, handle: h, log: o.Log, meter: o.Meter, timeout: cmp.Or(o.Timeout, 5*time.Minute)}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if o.Tracer == nil {
		o.Tracer = noop.NewTracerProvider()
	}
	e.tracer = o.Tracer.Tracer(scope)
	e.late = fmt.Errorf("%w after %s (ALMANAC_TIMEOUT)", context.DeadlineExceeded, e.timeout)
	return e
}

type endpoint struct {
	name    string
	handle  Handler
	log     *slog.Logger
	meter   *meter.Metrics
	tracer  trace.Tracer
	timeout time.Duration
	late    error // cause of the end of a context
}

// ServeHTTP receives one event.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	m, err := receive(w, r)
	if err == nil {
		ctx, cancel := e.detach(r.Context())
		err = e.work(ctx, m)
		cancel()
	}
	outcome, status := judge(err)
	e.report(r.Context(), m, outcome, err, time.Since(start))
	if err == nil {
		w.WriteHeader(status)
		return
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "2")
	}
	problem.New(status, "%s", err).Write(w)
}

// lifetime is the key of the context value under which a server says how long its handlers may work.
type lifetime struct{}

// Lifetime is the context of the requests of a server, whose handlers may work until life is done.
func Lifetime(life context.Context) context.Context {
	return context.WithValue(life, lifetime{}, life)
}

// detach frees the work from the caller's connection: a caller that gives up must not undo it half way.
func (e *endpoint) detach(r context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(r), e.timeout, e.late)
	life, ok := ctx.Value(lifetime{}).(context.Context)
	if !ok {
		return ctx, cancel
	}
	stop := context.AfterFunc(life, cancel)
	return ctx, func() { stop(); cancel() }
}

// work calls the handler within a span.
func (e *endpoint) work(ctx context.Context, m message) error {
	if m.retracted {
		return nil // a fact was taken back: the calendar sees to it that it is made again
	}
	ctx, span := e.startSpan(ctx, m)
	err := e.call(ctx, m.event)
	if err != nil && ctx.Err() != nil && !errors.Is(err, events.ErrInvalid) {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	endSpan(span, err)
	return err
}

// panicked is the error of a handler that panicked.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }

func (e *endpoint) call(ctx context.Context, ev events.Event) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicked{v, debug.Stack()}
		}
	}()
	return e.handle(ctx, ev)
}

// Outcomes of an event, as the label of metrics says them.
const (
	outcomeDone    = "done"
	outcomeInvalid = "invalid"
	outcomeFailed  = "failed"
	outcomePanic   = "panic"
	outcomeRefused = "refused"
)

func judge(err error) (outcome string, status int) {
	var r *refusal
	var p *panicked
	switch {
	case err == nil:
		return outcomeDone, http.StatusOK
	case errors.As(err, &r):
		return outcomeRefused, r.status
	case errors.As(err, &p):
		return outcomePanic, http.StatusServiceUnavailable
	case errors.Is(err, events.ErrInvalid):
		return outcomeInvalid, http.StatusUnprocessableEntity
	}
	return outcomeFailed, http.StatusServiceUnavailable
}

// report counts and logs one event.
func (e *endpoint) report(ctx context.Context, m message, outcome string, err error, took time.Duration) {
	if e.meter != nil {
		e.meter.Event(e.name, typeLabel(m), outcome, took)
	}
	level, text := slog.LevelError, "event failed"
	switch outcome {
	case outcomeDone:
		level, text = slog.LevelDebug, "event done"
	case outcomeInvalid:
		level, text = slog.LevelWarn, "event invalid"
	case outcomeRefused:
		level, text = slog.LevelWarn, "event refused"
	case outcomePanic:
		text = "handler panicked"
	}
	if !e.log.Enabled(ctx, level) {
		return
	}
	attrs := append(eventAttrs(m), slog.Duration("took", took))
	if err != nil {
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	if p := (*panicked)(nil); errors.As(err, &p) {
		attrs = append(attrs, slog.String("stack", string(p.stack)))
	}
	e.log.LogAttrs(ctx, level, text, attrs...)
}

// typeLabel keeps what strangers send out of the labels.
func typeLabel(m message) string {
	switch {
	case m.event != nil:
		return m.event.Type()
	case m.ce != nil && m.ce.Type() == TypeTick:
		return TypeTick
	}
	return "unknown"
}

func eventAttrs(m message) []slog.Attr {
	if m.ce == nil {
		return nil
	}
	attrs := []slog.Attr{slog.String("type", m.ce.Type()), slog.String("id", m.ce.ID())}
	if m.event == nil {
		return append(attrs, slog.String("source", m.ce.Source()))
	}
	p := m.event.Of()
	attrs = append(attrs, slog.String("dataset", p.Dataset), slog.String("window", p.Window))
	if p.Name != "" {
		attrs = append(attrs, slog.String("name", p.Name))
	}
	for _, n := range []struct {
		key   string
		value int
	}{{"generation", p.Generation}, {"slice", p.Slice}, {"attempt", attempt(m.event)}} {
		if n.value > 0 {
			attrs = append(attrs, slog.Int(n.key, n.value))
		}
	}
	return attrs
}
