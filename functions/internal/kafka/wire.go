package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/propagation"

	"github.com/almanac-data/almanac/events"
)

// Header names of the CloudEvents Kafka binding, binary mode.
const (
	cePrefix      = "ce_"
	ceSpecVersion = "ce_specversion"
	ceID          = "ce_id"
	ceSource      = "ce_source"
	ceType        = "ce_type"
	ceSubject     = "ce_subject"
	ceTime        = "ce_time"
	ceDataset     = "ce_dataset"
	contentType   = "content-type"
)

// encode makes the record of an event: CloudEvents 1.0, binary mode, keyed by the piece of work.
func encode(ctx context.Context, e events.Event, source string, now time.Time) (*kgo.Record, error) {
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
			{Key: ceType, Value: []byte(e.Type())},
			{Key: ceSubject, Value: []byte(p.Subject())},
			{Key: ceTime, Value: now.UTC().AppendFormat(nil, time.RFC3339Nano)},
			{Key: ceDataset, Value: []byte(p.Dataset)},
			{Key: contentType, Value: []byte("application/json")},
		},
	}
	propagation.TraceContext{}.Inject(ctx, carrier{r})
	return r, nil
}

// produced says what a person can do about a record that was not written.
func produced(err error) error {
	if errors.Is(err, kerr.UnknownServerError) || errors.Is(err, kerr.KafkaStorageError) {
		return fmt.Errorf("the broker cannot write, see its log and whether its disk is full: %w", err)
	}
	return err
}

// carrier puts the trace context into the headers of a record, as extension attributes.
type carrier struct{ r *kgo.Record }

func (c carrier) Get(key string) string { return header(c.r, cePrefix+key) }

func (c carrier) Set(key, value string) {
	c.r.Headers = append(c.r.Headers, kgo.RecordHeader{Key: cePrefix + key, Value: []byte(value)})
}

func (c carrier) Keys() []string { return []string{"traceparent", "tracestate"} }

// header finds the value of a header, or "".
func header(r *kgo.Record, key string) string {
	for i := range r.Headers {
		if strings.EqualFold(r.Headers[i].Key, key) {
			return string(r.Headers[i].Value)
		}
	}
	return ""
}

// said is the time of the event, or that of the record where the event has none.
func said(r *kgo.Record) time.Time {
	if t, err := time.Parse(time.RFC3339Nano, header(r, ceTime)); err == nil {
		return t
	}
	return r.Timestamp
}
