package post_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/almanac-data/almanac/functions/internal/kafka"
	"github.com/almanac-data/almanac/functions/internal/relay/post"
)

// TestNamesThatNoHeaderCanHave sends records whose extensions have names that CloudEvents does not allow.
func TestNamesThatNoHeaderCanHave(t *testing.T) {
	for says, r := range map[string]kafka.Record{
		"binary": {Headers: []kafka.Header{
			{Key: "ce_specversion", Value: []byte("1.0")}, {Key: "ce_id", Value: []byte("1")}, {Key: "ce_source", Value: []byte("/s")}, {Key: "ce_type", Value: []byte("t")},
			{Key: "ce_two words", Value: []byte("x")},
		}},
		"structured": {
			Headers: []kafka.Header{{Key: "content-type", Value: []byte("application/cloudevents+json")}},
			Value:   []byte(`{"specversion":"1.0","id":"1","source":"/s","type":"t","two words":"x","a\r\nHost":"x"}`),
		},
	} {
		got := 0
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got++; w.WriteHeader(http.StatusOK) }))
		sender := post.Sender{Client: s.Client(), Retry: post.Retry{Count: 2, Base: time.Millisecond}, Again: post.KafkaRetries}
		if a := sender.Send(t.Context(), nil, post.NewSinks(s.URL), post.EventOf(r, "ns", "n")); !a.OK() || got != 1 {
			t.Errorf("%s: %s, %d requests, want one that is taken", says, a, got)
		}
		s.Close()
	}
}
