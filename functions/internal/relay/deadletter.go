package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/almanac-data/almanac/functions/internal/kafka"
	"github.com/almanac-data/almanac/functions/internal/problem"
	"github.com/almanac-data/almanac/functions/internal/relay/post"
)

const (
	maxEvent = 8 << 20                 // bytes of an event that a dead-letter sink takes
	header   = 64 << 10                // bytes that a request may have before its body
	underWay = 3 * (maxEvent + header) // bytes of requests that are taken at once; while one is read and written it is there up to four times
	patience = 10 * time.Second        // of a request that waits for others, and of those with one that takes long to come
)

// DeadLetterSink is the HTTP endpoint that takes dead letters: it answers 202 once bury has kept the event. Its memory is bounded: what comes while
// 24 MiB of events are under way waits, and is to come again later, 503 with Retry-After, if that takes long.
func DeadLetterSink(bury func(context.Context, kafka.DeadLetter) error, log *slog.Logger) http.Handler {
	room := semaphore.NewWeighted(underWay)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			problem.New(http.StatusMethodNotAllowed, "send events by POST, not %s", r.Method).Write(w)
			return
		}
		size := r.ContentLength
		if size < 0 { // nobody knows
			size = maxEvent
		}
		if size > maxEvent {
			problem.New(http.StatusRequestEntityTooLarge, "the event has %d bytes, and at most %d are taken", size, maxEvent).Write(w)
			return
		}
		if !enter(r.Context(), room, size+header) {
			w.Header().Set("Retry-After", "5")
			problem.New(http.StatusServiceUnavailable, "too many dead letters come at once; send it again later").Write(w)
			return
		}
		defer room.Release(size + header)
		body, err := read(w, r, size)
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

// enter waits until there is room.
func enter(ctx context.Context, room *semaphore.Weighted, bytes int64) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return room.Acquire(ctx, bytes) == nil
}

// read reads a body of at most size bytes into one buffer, which does not grow.
func read(w http.ResponseWriter, r *http.Request, size int64) ([]byte, error) {
	slow := http.NewResponseController(w)
	_ = slow.SetReadDeadline(time.Now().Add(patience)) // a recorder in a test cannot
	defer func() { _ = slow.SetReadDeadline(time.Time{}) }()
	body := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead))
	_, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, size))
	return body.Bytes(), err
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
