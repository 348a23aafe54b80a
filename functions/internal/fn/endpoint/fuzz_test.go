package endpoint

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/almanac-data/almanac/events"
)

// FuzzReceive: whatever is sent is answered, and only an event that was understood reaches the handler.
func FuzzReceive(f *testing.F) {
	f.Add("application/json", "1.0", events.TypeDue, "42", []byte(`{"dataset":"flights","window":"2001-01-05"}`))
	f.Add("application/cloudevents+json", "", "", "", []byte(`{"specversion":"1.0","id":"1","source":"/s","type":"`+TypeTick+`"}`))
	f.Add("application/cloudevents-batch+json", "", "", "", []byte(`[]`))
	f.Add("", "0.3", TypeTick, "1", []byte{0})
	f.Fuzz(func(t *testing.T, contentType, version, ceType, id string, body []byte) {
		h := New("collect", func(_ context.Context, ev events.Event) error {
			if ev != nil && ev.Of().Dataset == "" {
				t.Error("handler got an event without a dataset")
			}
			return nil
		}, Options{})
		r, w := newRequest(contentType, version, ceType, id, body)
		h.ServeHTTP(w, r)
		switch w.Code {
		case 200, 400, 413, 415, 422:
		default:
			t.Errorf("answer = %d %s", w.Code, w.Body)
		}
	})
}

func newRequest(contentType, version, ceType, id string, body []byte) (*http.Request, *httptest.ResponseRecorder) {
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	for k, v := range map[string]string{"Content-Type": contentType, "Ce-Specversion": version, "Ce-Type": ceType, "Ce-Id": id, "Ce-Source": "/s"} {
		if v != "" {
			r.Header.Set(k, v)
		}
	}
	return r, httptest.NewRecorder()
}
