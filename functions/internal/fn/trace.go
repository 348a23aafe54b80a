package fn

import (
	"context"

	"github.com/sethvargo/go-envconfig"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// newTracer makes spans that are sent by OTLP over HTTP when OTEL_EXPORTER_OTLP_ENDPOINT (or the one for traces) is set; the
// exporter and the sampler read the other OTEL_ variables themselves. Without it spans are made, so that their ids go from
// event to event, and dropped. It also sets the propagator that adapters inject with: W3C trace context.
func newTracer(ctx context.Context, name string, env envconfig.Lookuper) (trace.TracerProvider, func(context.Context) error, error) {
	otel.SetTextMapPropagator(propagation.TraceContext{})
	if lookup(env, "OTEL_EXPORTER_OTLP_ENDPOINT", lookup(env, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "")) == "" {
		p := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample()))
		return p, p.Shutdown, nil
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, nil, err
	}
	about := []attribute.KeyValue{semconv.ServiceName(lookup(env, "K_SERVICE", name)), semconv.ServiceNamespace("almanac")}
	if revision := lookup(env, "K_REVISION", ""); revision != "" {
		about = append(about, semconv.ServiceVersion(revision))
	}
	p := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(resource.NewSchemaless(about...)))
	return p, p.Shutdown, nil
}
