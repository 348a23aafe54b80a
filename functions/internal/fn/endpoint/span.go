package endpoint

import (
	"context"
	"net/http"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/almanac-data/almanac/events"
)

const scope = "github.com/almanac-data/almanac"

// traceOf continues the trace that the event was made in (the extension of CloudEvents distributed tracing), or else that of
// the request which brought it.
func traceOf(ctx context.Context, ce *cloudevents.Event, header http.Header) context.Context {
	if given := ce.Extensions(); given["traceparent"] != nil {
		carrier := propagation.MapCarrier{}
		for _, key := range []string{"traceparent", "tracestate"} {
			if v, err := types.ToString(given[key]); err == nil {
				carrier[key] = v
			}
		}
		out := propagation.TraceContext{}.Extract(ctx, carrier)
		if trace.SpanContextFromContext(out).IsValid() {
			return out
		}
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(header))
}

func (e *endpoint) startSpan(ctx context.Context, m message) (context.Context, trace.Span) {
	ctx, span := e.tracer.Start(traceOf(ctx, m.ce, m.header), e.name, trace.WithSpanKind(trace.SpanKindConsumer))
	if span.IsRecording() {
		span.SetAttributes(spanAttributes(m)...)
	}
	return ctx, span
}

func spanAttributes(m message) []attribute.KeyValue {
	all := []attribute.KeyValue{
		semconv.MessagingOperationTypeProcess,
		semconv.MessagingMessageID(m.ce.ID()),
		semconv.CloudEventsEventID(m.ce.ID()),
		semconv.CloudEventsEventType(m.ce.Type()),
		semconv.CloudEventsEventSource(m.ce.Source()),
	}
	if s := m.ce.Subject(); s != "" {
		all = append(all, semconv.CloudEventsEventSubject(s))
	}
	if offset, err := types.ToInteger(m.ce.Extensions()["knativekafkaoffset"]); err == nil {
		all = append(all, semconv.MessagingSystemKafka, semconv.MessagingKafkaOffset(int(offset)))
	}
	if m.event == nil {
		return all
	}
	p := m.event.Of()
	all = append(all, attribute.String("almanac.dataset", p.Dataset), attribute.String("almanac.window", p.Window))
	if p.Name != "" {
		all = append(all, attribute.String("almanac.name", p.Name))
	}
	if p.Generation > 0 {
		all = append(all, attribute.Int("almanac.generation", p.Generation))
	}
	if p.Slice > 0 {
		all = append(all, attribute.Int("almanac.slice", p.Slice))
	}
	if n := attempt(m.event); n > 0 {
		all = append(all, attribute.Int("almanac.attempt", n))
	}
	return all
}

func attempt(ev events.Event) int {
	switch e := ev.(type) {
	case *events.Due:
		return e.Attempt
	case *events.Stopped:
		return e.Attempt
	}
	return 0
}

func endSpan(span trace.Span, err error) {
	if err != nil && span.IsRecording() {
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}
