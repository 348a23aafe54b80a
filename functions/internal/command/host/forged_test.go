package host

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/fn/endpoint"
	"github.com/almanac-data/almanac/functions/internal/problem"
)

// post sends an event to a function as a source does.
func post(t *testing.T, h endpoint.Handler, ev events.Event) (status int, detail string) {
	t.Helper()
	body, err := json.Marshal(ev)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	for k, v := range map[string]string{"Ce-Specversion": "1.0", "Ce-Id": ev.ID(), "Ce-Source": "/forged", "Ce-Type": ev.Type(), "Content-Type": "application/json"} {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	endpoint.New("test", h, endpoint.Options{}).ServeHTTP(w, r)
	if w.Code != http.StatusOK && w.Header().Get("Content-Type") != problem.ContentType {
		t.Errorf("answer is %s, no problem detail", w.Header().Get("Content-Type"))
	}
	return w.Code, problem.Text(w.Body.Bytes())
}

// TestForgedEventsDoNothing sends each function, over a platform on which nothing has happened yet, what no function says.
func TestForgedEventsDoNothing(t *testing.T) {
	p := newPrincipals(t)
	p.assemble()
	unknown := events.Piece{Dataset: "nobody", Window: "2001-01-05", Generation: 1, Slice: 1}
	early := events.Piece{Dataset: "flights", Window: "2001-01-05", Generation: 1, Slice: 1}
	query := events.Piece{Dataset: "flights", Name: "nothing", Window: "2001-01", Generation: 0}
	const nobody = "nobody"
	tests := map[string]struct {
		function string
		event    events.Event
		status   int
		detail   string
	}{
		"collect: a dataset that is unknown":            {"collect", events.Due{Piece: unknown, Step: events.StepCollect, Attempt: 1}, 422, nobody},
		"process: a dataset that is unknown":            {"process", events.Collected{Piece: unknown, Last: true}, 422, nobody},
		"validate: a dataset that is unknown":           {"validate", events.Processed{Piece: unknown}, 422, nobody},
		"store: a dataset that is unknown":              {"store", events.Validated{Piece: unknown}, 422, nobody},
		"aggregate: a dataset that is unknown":          {"aggregate", events.Due{Piece: events.Piece{Dataset: nobody, Name: "x", Window: "2001-01"}, Step: events.StepAggregate, Attempt: 1}, 422, nobody},
		"deliver: a dataset that is unknown":            {"deliver", events.Due{Piece: events.Piece{Dataset: nobody, Name: "x", Window: "2001-01"}, Step: events.StepDeliver, Attempt: 1}, 422, nobody},
		"process: a slice that was never collected":     {"process", events.Collected{Piece: early, Last: true}, 200, ""},
		"validate: a slice that was never processed":    {"validate", events.Processed{Piece: early}, 200, ""},
		"store: a slice that was never validated":       {"store", events.Validated{Piece: early}, 200, ""},
		"aggregate: a query that is not in the dataset": {"aggregate", events.Due{Piece: query, Step: events.StepAggregate, Attempt: 1}, 422, "nothing"},
		"deliver: a query that is not in the dataset":   {"deliver", events.Due{Piece: query, Step: events.StepDeliver, Attempt: 1}, 422, "nothing"},
		"process: an event for another function":        {"process", events.Due{Piece: early, Step: events.StepCollect, Attempt: 1}, 422, "handles collected"},
		"deliver: a due of another step":                {"deliver", events.Due{Piece: early, Step: events.StepCollect, Attempt: 1}, 422, "step deliver"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			status, detail := post(t, p.handlers[tt.function], tt.event)
			if status != tt.status || !strings.Contains(detail, tt.detail) {
				t.Errorf("answer is %d %q, want %d with %q", status, detail, tt.status, tt.detail)
			}
		})
	}
	for _, topic := range slices.Concat(events.FactTopics(), events.DueTopics()) {
		ranges, err := p.admin.Ranges(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range ranges {
			if r.End > r.Start {
				t.Errorf("%d facts were said on %s", r.End-r.Start, topic)
			}
		}
	}
}
