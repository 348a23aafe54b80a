package endpoint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/almanac-data/almanac/events"
)

// TypeTick is the CloudEvents type of a tick of a PingSource; a Handler gets it as a nil event.
const TypeTick = "dev.knative.sources.ping"

const (
	maxEvent    = 1 << 20
	readTimeout = 10 * time.Second
)

// message is one CloudEvent and what it says to Almanac: nil for a tick.
type message struct {
	ce     *cloudevents.Event
	event  events.Event
	header http.Header
	// retracted says that the record was a tombstone: an event of ours without data.
	retracted bool
}

// refusal is a request that never reaches the handler.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return r.text }

func refuse(status int, format string, args ...any) *refusal {
	return &refusal{status, fmt.Sprintf(format, args...)}
}

// receive reads one CloudEvent in binary or structured mode.
func receive(w http.ResponseWriter, r *http.Request) (message, error) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return message{}, refuse(http.StatusMethodNotAllowed, "send events by POST, not %s", r.Method)
	}
	body, err := readBody(w, r)
	if err != nil {
		return message{}, err
	}
	in := cehttp.NewMessage(r.Header, io.NopCloser(bytes.NewReader(body)))
	switch in.ReadEncoding() {
	case binding.EncodingUnknown:
		return message{}, refuse(http.StatusUnsupportedMediaType,
			"not a CloudEvent: send ce-specversion, ce-id, ce-source and ce-type as headers, or Content-Type application/cloudevents+json")
	case binding.EncodingBatch:
		return message{}, refuse(http.StatusUnsupportedMediaType, "batches are not taken: send each event in a request of its own")
	default:
	}
	ce, err := binding.ToEvent(r.Context(), in)
	if err != nil {
		return message{}, refuse(http.StatusBadRequest, "not a CloudEvent: %s", err)
	}
	return understand(ce, r.Header)
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	slow := http.NewResponseController(w)
	// A recorder in a test cannot set deadlines; a server can.
	_ = slow.SetReadDeadline(time.Now().Add(readTimeout))
	defer func() { _ = slow.SetReadDeadline(time.Time{}) }()
	limited := http.MaxBytesReader(w, r.Body, maxEvent)
	var body []byte
	var err error
	if n := r.ContentLength; n > 0 && n <= maxEvent {
		body = make([]byte, n)
		_, err = io.ReadFull(limited, body)
	} else {
		body, err = io.ReadAll(limited)
	}
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return nil, refuse(http.StatusRequestEntityTooLarge, "event is larger than %d bytes: events carry claims, not rows", maxEvent)
	}
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "read event: %s", err)
	}
	return body, nil
}

// understand checks the event's attributes and reads its data.
func understand(ce *cloudevents.Event, header http.Header) (message, error) {
	m := message{ce: ce, header: header}
	if err := ce.Validate(); err != nil {
		return m, refuse(http.StatusBadRequest, "not a valid CloudEvent: %s", strings.TrimSpace(err.Error()))
	}
	if ce.Type() == TypeTick {
		return m, nil
	}
	if len(ce.Data()) == 0 && strings.HasPrefix(ce.Type(), "dev.almanac.") {
		m.retracted = true
		return m, nil
	}
	if !isJSON(ce.DataContentType()) {
		return m, fmt.Errorf("%w: data of %s are %s, not JSON", events.ErrInvalid, ce.Type(), ce.DataContentType())
	}
	var err error
	m.event, err = events.Decode(ce.Type(), ce.Data())
	return m, err
}

func isJSON(contentType string) bool {
	if contentType == "" || contentType == "application/json" {
		return true
	}
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/json" || media == "text/json" || strings.HasSuffix(media, "+json"))
}
