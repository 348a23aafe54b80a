package fn

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/almanac-data/almanac/events"
)

var due = events.Due{Piece: events.Piece{Dataset: "flights", Window: "2001-01-05", Generation: 2, Slice: 3}, Step: events.StepCollect, Attempt: 4}

func binaryHeader(ceType string) map[string]string {
	return map[string]string{
		"Ce-Specversion": "1.0", "Ce-Id": "42", "Ce-Source": "/almanac/calendar", "Ce-Type": ceType, "Content-Type": "application/json",
	}
}

func encode(t testing.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// send posts to a real server, so that deadlines and limits are the real ones.
func send(t testing.TB, url, method, body string, header map[string]string) (status int, text string, h http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		r.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(all), resp.Header
}
