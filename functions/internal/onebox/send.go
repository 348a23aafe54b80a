package onebox

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

// answer is what became of sending an event.
type answer struct {
	sink   string // that gave it
	err    error  // of the transport
	status int
	header http.Header
	body   []byte // the first bytes
}

func (a answer) ok() bool { return a.err == nil && a.status < 300 }

func (a answer) String() string {
	if a.err != nil {
		return a.err.Error()
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", a.status, a.body))
}

// kafkaRetries and pingRetries say which answers the two sources try again after.
func kafkaRetries(a answer) bool {
	switch a.status {
	case http.StatusNotFound, http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		return true
	}
	return a.err != nil || a.status >= 500
}

func pingRetries(a answer) bool {
	switch a.status {
	case http.StatusNotFound, http.StatusRequestEntityTooLarge, http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return a.err != nil
}

// sender posts events to sinks.
type sender struct {
	client    *http.Client
	retry     Retry
	again     func(answer) bool
	namespace string
}

// send posts an event until an answer is final, the tries are used up, or stop ends: then it gives up between tries.
func (s sender) send(ctx context.Context, stop <-chan struct{}, to *sinks, e event) answer {
	for try := 0; ; try++ {
		a := s.sendOnce(ctx, to, e)
		if a.ok() || !s.again(a) || try >= s.retry.Count {
			return a
		}
		t := time.NewTimer(s.retry.Base << (try + 1))
		select {
		case <-t.C:
			continue
		case <-stop:
		case <-ctx.Done():
		}
		t.Stop()
		return answer{sink: a.sink, err: fmt.Errorf("stopped while it was retried: %s", a)}
	}
}

// sendOnce posts an event to the sink whose turn it is, or, where that does not answer at all, to one after it.
func (s sender) sendOnce(ctx context.Context, to *sinks, e event) (a answer) {
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

func (s sender) post(ctx context.Context, sink string, e event) answer {
	ctx, cancel := context.WithTimeout(ctx, s.retry.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, sink, bytes.NewReader(e.data))
	if err != nil {
		return answer{err: err}
	}
	for name, value := range e.attributes {
		if name == "datacontenttype" {
			req.Header.Set("Content-Type", headerValue(value))
			continue
		}
		req.Header.Set("Ce-"+name, headerValue(value))
	}
	req.Header.Set("Prefer", "reply")
	if s.namespace != "" {
		req.Header.Set("Kn-Namespace", s.namespace)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorData))
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)) // so that the connection can be used again
	return answer{status: resp.StatusCode, header: resp.Header, body: body}
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

// dead is an event as a dead-letter sink gets it.
func (e event) dead(a answer) event {
	attributes := map[string]string{}
	maps.Copy(attributes, e.attributes)
	attributes["knativeerrordest"] = a.sink
	if a.err == nil {
		attributes["knativeerrorcode"] = strconv.Itoa(a.status)
		if len(a.body) > 0 {
			attributes["knativeerrordata"] = base64.StdEncoding.EncodeToString(a.body)
		}
		for name := range a.header {
			if extension, ok := strings.CutPrefix(strings.ToLower(name), "kne-"); ok && alphanumeric(extension) == extension && extension != "" {
				attributes[extension] = a.header.Get(name)
			}
		}
	}
	return event{attributes, e.data}
}
