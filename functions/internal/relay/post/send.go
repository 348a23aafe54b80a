package post

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/almanac-data/almanac/functions/internal/problem"
)

// Retry says how often and when an event is sent again: after Base*2, Base*4, and so on, Count times at most.
type Retry struct {
	Count   int           // 0 means 5; negative none
	Base    time.Duration // 0 means 100 ms
	Timeout time.Duration // of one request; 0 means 10 minutes
}

func (r Retry) withDefaults() Retry {
	switch {
	case r.Count == 0:
		r.Count = 5
	case r.Count < 0:
		r.Count = 0
	}
	if r.Base == 0 {
		r.Base = 100 * time.Millisecond
	}
	if r.Timeout == 0 {
		r.Timeout = 10 * time.Minute
	}
	return r
}

// NewClient is an HTTP client for sources: it keeps connections to few hosts open, and follows no redirects. It connects by dial, which may
// be nil.
func NewClient(dial func(ctx context.Context, network, address string) (net.Conn, error)) *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 64, IdleConnTimeout: 90 * time.Second, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Answer is what became of sending an event.
type Answer struct {
	sink   string // that gave it
	err    error  // of the transport
	status int
	header http.Header
	body   []byte // the first bytes
}

// OK says whether the event was taken.
func (a Answer) OK() bool { return a.err == nil && a.status < 300 }

// String is what a person reads of it.
func (a Answer) String() string {
	if a.err != nil {
		return a.err.Error()
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", a.status, problem.Text(a.body)))
}

// KafkaRetries says which answers a KafkaSource tries again after.
func KafkaRetries(a Answer) bool {
	switch a.status {
	case http.StatusNotFound, http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		return true
	}
	return a.err != nil || a.status >= 500
}

// PingRetries says which answers a PingSource tries again after.
func PingRetries(a Answer) bool {
	switch a.status {
	case http.StatusNotFound, http.StatusRequestEntityTooLarge, http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return a.err != nil
}

// Sender posts events to sinks.
type Sender struct {
	Client     *http.Client
	Retry      Retry
	Again      func(Answer) bool   // says which answers are tried again after
	Waiting    func(Event, Answer) // told of an event that two tries have not got taken, if that is tried again; may be nil
	Namespace  string              // of the source; empty for none
	Extensions map[string]string   // set in each event, whatever it had
}

// Send posts an event until an answer is final, the tries are used up, or stop ends: then it gives up between tries.
func (s Sender) Send(ctx context.Context, stop <-chan struct{}, to *Sinks, e Event) Answer {
	s.Retry = s.Retry.withDefaults()
	for try := 0; ; try++ {
		a := s.sendOnce(ctx, to, e)
		if a.OK() || !s.Again(a) || try >= s.Retry.Count {
			return a
		}
		if try == 1 && s.Waiting != nil {
			s.Waiting(e, a)
		}
		t := time.NewTimer(s.Retry.Base << (try + 1))
		select {
		case <-t.C:
			continue
		case <-stop:
		case <-ctx.Done():
		}
		t.Stop()
		return Answer{sink: a.sink, err: fmt.Errorf("stopped while it was retried: %s", a)}
	}
}

// sendOnce posts an event to the sink whose turn it is, or, where that does not answer at all, to one after it.
func (s Sender) sendOnce(ctx context.Context, to *Sinks, e Event) (a Answer) {
	for range to.urls {
		sink := to.next(time.Now())
		a = s.post(ctx, sink, e)
		a.sink = sink
		if a.err == nil || ctx.Err() != nil {
			return a
		}
		to.rest(sink, time.Now())
	}
	return a
}

func (s Sender) post(ctx context.Context, sink string, e Event) Answer {
	ctx, cancel := context.WithTimeout(ctx, s.Retry.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, sink, bytes.NewReader(e.Data))
	if err != nil {
		return Answer{err: err}
	}
	for name, value := range e.Attributes {
		if name == "datacontenttype" {
			req.Header.Set("Content-Type", headerValue(value))
			continue
		}
		req.Header.Set("Ce-"+name, headerValue(value))
	}
	for name, value := range s.Extensions {
		req.Header.Set("Ce-"+name, headerValue(value))
	}
	req.Header.Set("Prefer", "reply")
	if s.Namespace != "" {
		req.Header.Set("Kn-Namespace", s.Namespace)
	}
	resp, err := s.Client.Do(req)
	if err != nil {
		return Answer{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorData))
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)) // so that the connection can be used again
	return Answer{status: resp.StatusCode, header: resp.Header, body: body}
}

// headerValue writes what a header cannot hold as %XX.
func headerValue(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// maxErrorData bounds knativeerrordata.
const maxErrorData = 1024

// Dead is an event as a dead-letter sink gets it.
func (e Event) Dead(a Answer) Event {
	attributes := map[string]string{}
	maps.Copy(attributes, e.Attributes)
	attributes["knativeerrordest"] = a.sink
	if a.err == nil {
		attributes["knativeerrorcode"] = strconv.Itoa(a.status)
		if len(a.body) > 0 {
			attributes["knativeerrordata"] = base64.StdEncoding.EncodeToString(a.body)
		}
		for name := range a.header {
			if extension, ok := strings.CutPrefix(strings.ToLower(name), "kne-"); ok && named(extension) {
				attributes[extension] = a.header.Get(name)
			}
		}
	}
	return Event{attributes, e.Data}
}
