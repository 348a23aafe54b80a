// Package wire is the form of events in Kafka: the CloudEvents Kafka binding, binary mode.
package wire

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/propagation"

	"github.com/almanac-data/almanac/events"
)

// Header names of the CloudEvents Kafka binding, binary mode.
const (
	Prefix        = "ce_" // of every attribute
	ceSpecVersion = "ce_specversion"
	ceID          = "ce_id"
	ceSource      = "ce_source"
	Type          = "ce_type"
	ceSubject     = "ce_subject"
	ceTime        = "ce_time"
	ceDataset     = "ce_dataset"
	ContentType   = "content-type"
)

// Encode makes the record of an event: CloudEvents 1.0, binary mode, keyed by the piece of work.
func Encode(ctx context.Context, e events.Event, source string, now time.Time) (*kgo.Record, error) {
	data, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", e.Type(), err)
	}
	p := e.Of()
	r := &kgo.Record{
		Topic: e.Topic(),
		Key:   []byte(p.Key()),
		Value: data,
		Headers: []kgo.RecordHeader{
			{Key: ceSpecVersion, Value: []byte("1.0")},
			{Key: ceID, Value: []byte(e.ID())},
			{Key: ceSource, Value: []byte(source)},
			{Key: Type, Value: []byte(e.Type())},
			{Key: ceSubject, Value: []byte(p.Subject())},
			{Key: ceTime, Value: now.UTC().AppendFormat(nil, time.RFC3339Nano)},
			{Key: ceDataset, Value: []byte(p.Dataset)},
			{Key: ContentType, Value: []byte("application/json")},
		},
	}
	propagation.TraceContext{}.Inject(ctx, carrier{r})
	return r, nil
}

// carrier puts the trace context into the headers of a record, as extension attributes.
type carrier struct{ r *kgo.Record }

func (c carrier) Get(key string) string { return Header(c.r, Prefix+key) }

func (c carrier) Set(key, value string) {
	c.r.Headers = append(c.r.Headers, kgo.RecordHeader{Key: Prefix + key, Value: []byte(value)})
}

func (c carrier) Keys() []string { return []string{"traceparent", "tracestate"} }

// Header finds the value of a header, or "".
func Header(r *kgo.Record, key string) string {
	for i := range r.Headers {
		if strings.EqualFold(r.Headers[i].Key, key) {
			return string(r.Headers[i].Value)
		}
	}
	return ""
}

// Said is the time of the event, or that of the record where the event has none.
func Said(r *kgo.Record) time.Time {
	if t, err := time.Parse(time.RFC3339Nano, Header(r, ceTime)); err == nil {
		return t
	}
	return r.Timestamp
}
