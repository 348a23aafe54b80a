// Package fntest has what tests of functions and of their endpoint send.
package fntest

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/almanac-data/almanac/events"
)

// Due is an event that wakes collect.
var Due = events.Due{Piece: events.Piece{Dataset: "flights", Window: "2001-01-05", Generation: 2, Slice: 3}, Step: events.StepCollect, Attempt: 4}

// Header is that of a request in binary mode, with an event of a type.
func Header(ceType string) map[string]string {
	return map[string]string{
		"Ce-Specversion": "1.0", "Ce-Id": "42", "Ce-Source": "/almanac/calendar", "Ce-Type": ceType, "Content-Type": "application/json",
	}
}

// Encode is the JSON of v.
func Encode(tb testing.TB, v any) string {
	tb.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

// Send posts to a real server, so that deadlines and limits are the real ones.
func Send(tb testing.TB, url, method, body string, header map[string]string) (status int, text string, h http.Header) {
	tb.Helper()
	r, err := http.NewRequestWithContext(tb.Context(), method, url, strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	for k, v := range header {
		r.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	all, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return resp.StatusCode, string(all), resp.Header
}
