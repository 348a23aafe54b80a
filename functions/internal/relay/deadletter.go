package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/almanac-data/almanac/functions/internal/kafka"
	"github.com/almanac-data/almanac/functions/internal/problem"
	"github.com/almanac-data/almanac/functions/internal/relay/post"
)

// maxEvent bounds the data of an event that a dead-letter sink takes.
const maxEvent = 8 << 20

// DeadLetterSink is the HTTP endpoint that takes dead letters: it answers 202 once bury has kept the event.
func DeadLetterSink(bury func(context.Context, kafka.DeadLetter) error, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			problem.New(http.StatusMethodNotAllowed, "send events by POST, not %s", r.Method).Write(w)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEvent))
		if err != nil {
			problem.New(unread(err), "event cannot be read: %s", err).Write(w)
			return
		}
		e := post.Received(r.Header, body)
		if !e.Complete() {
			problem.New(http.StatusBadRequest, "this is no CloudEvent 1.0: ce-specversion, ce-id, ce-source and ce-type are needed").Write(w)
			return
		}
		if err := bury(context.WithoutCancel(r.Context()), kafka.DeadLetter{Attributes: e.Attributes, Data: e.Data}); err != nil {
			log.ErrorContext(r.Context(), "dead letter cannot be kept", "id", e.Attributes["id"], "error", err)
			problem.New(http.StatusServiceUnavailable, "dead letter cannot be kept; the log of the function says why").Write(w)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	})
}

// functions are those that a dead letter may be for.
var functions = []string{"calendar", "collect", "process", "validate", "store", "aggregate", "deliver"}

// Counted counts what is buried by the function that it was for: the last element of its address, or the first of its host. What was for none
// counts as other, so that strangers make no names of metrics.
func Counted(bury func(context.Context, kafka.DeadLetter) error, count func(function string)) func(context.Context, kafka.DeadLetter) error {
	return func(ctx context.Context, d kafka.DeadLetter) error {
		if err := bury(ctx, d); err != nil {
			return err
		}
		count(addressee(d.Attributes["knativeerrordest"]))
		return nil
	}
}

func addressee(dest string) string {
	u, err := url.Parse(dest)
	if err != nil {
		return "other"
	}
	host, _, _ := strings.Cut(u.Hostname(), ".")
	for _, name := range []string{path.Base(u.Path), host} {
		if slices.Contains(functions, name) {
			return name
		}
	}
	return "other"
}

// unread is the status of an event that could not be read.
func unread(err error) int {
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusBadRequest
}

// Resend posts a dead letter to the address that it could not be delivered to, without what Knative added.
func Resend(ctx context.Context, client *http.Client, d kafka.DeadLetter) error {
	e := post.Event{Attributes: map[string]string{}, Data: d.Data}
	for name, value := range d.Attributes {
		if !strings.HasPrefix(name, "knativeerror") {
			e.Attributes[name] = value
		}
	}
	a := post.Sender{Client: client, Retry: Retry{Count: -1}, Again: post.KafkaRetries}.Send(ctx, nil, post.NewSinks(d.Attributes["knativeerrordest"]), e)
	if !a.OK() {
		return fmt.Errorf("resend to %s: %s", d.Attributes["knativeerrordest"], a)
	}
	return nil
}
