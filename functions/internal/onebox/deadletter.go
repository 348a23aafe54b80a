package onebox

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/almanac-data/almanac/functions/internal/kafka"
)

// maxEvent bounds the data of an event that a dead-letter sink takes.
const maxEvent = 8 << 20

// DeadLetterSink is the HTTP endpoint that takes dead letters: it answers 202 once bury has kept the event.
func DeadLetterSink(bury func(context.Context, kafka.DeadLetter) error, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e := event{attributes: map[string]string{}}
		for name := range r.Header {
			if attribute, ok := strings.CutPrefix(strings.ToLower(name), "ce-"); ok {
				e.attributes[attribute] = r.Header.Get(name)
			}
		}
		if ct := r.Header.Get("Content-Type"); ct != "" {
			e.attributes["datacontenttype"] = ct
		}
		var err error
		if e.data, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxEvent)); err != nil {
			http.Error(w, "event cannot be read: "+err.Error(), http.StatusRequestEntityTooLarge)
			return
		}
		if !e.complete() {
			http.Error(w, "this is no CloudEvent 1.0 in binary mode: ce-specversion, ce-id, ce-source and ce-type are needed", http.StatusBadRequest)
			return
		}
		if err := bury(context.WithoutCancel(r.Context()), kafka.DeadLetter{Attributes: e.attributes, Data: e.data}); err != nil {
			log.ErrorContext(r.Context(), "dead letter cannot be kept", "id", e.attributes["id"], "error", err)
			http.Error(w, "dead letter cannot be kept", http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	})
}

// Resend posts a dead letter to the address that it could not be delivered to, without what Knative added.
func Resend(ctx context.Context, client *http.Client, d kafka.DeadLetter) error {
	e := event{map[string]string{}, d.Data}
	for name, value := range d.Attributes {
		if !strings.HasPrefix(name, "knativeerror") {
			e.attributes[name] = value
		}
	}
	a := sender{client, Retry{Count: -1}.withDefaults(), kafkaRetries, ""}.send(ctx, nil, newSinks(d.Attributes["knativeerrordest"]), e)
	if !a.ok() {
		return fmt.Errorf("resend to %s: %s", d.Attributes["knativeerrordest"], a)
	}
	return nil
}
