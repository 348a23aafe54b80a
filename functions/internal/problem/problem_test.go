package problem_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/almanac-data/almanac/functions/internal/problem"
)

func TestProblemsAreWritten(t *testing.T) {
	w := httptest.NewRecorder()
	problem.NotFound("send events to /").ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/x<y", nil))
	var p problem.Error
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 404 || w.Header().Get("Content-Type") != problem.ContentType {
		t.Fatalf("answer is %d %v %s: %v", w.Code, w.Header(), w.Body, err)
	}
	want := problem.Error{Detail: "there is nothing at /x<y; send events to /", Status: 404, Title: "Not Found", Type: "about:blank"}
	if p != want {
		t.Errorf("problem is %+v, want %+v", p, want)
	}
}

// TestAProblemReplacesAnAnswer writes one where the head of another answer was laid out already.
func TestAProblemReplacesAnAnswer(t *testing.T) {
	w := httptest.NewRecorder()
	for _, name := range []string{"ETag", "Content-Disposition", "Content-Length", "Repr-Digest", "Last-Modified", "Retry-After"} {
		w.Header().Set(name, "1")
	}
	problem.Field(http.StatusBadRequest, "limit", "limit is %d", -1).Write(w)
	w.Header().Del("X-Content-Type-Options")
	want := http.Header{"Content-Type": {problem.ContentType}, "Cache-Control": {"no-store"}, "Retry-After": {"1"}}
	if !maps.EqualFunc(w.Header(), want, slices.Equal) {
		t.Errorf("header is %v, want %v", w.Header(), want)
	}
	var p problem.Error
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Field != "limit" || p.Detail != "limit is -1" || p.Status != http.StatusBadRequest {
		t.Errorf("problem is %+v, %v", p, err)
	}
}

func TestText(t *testing.T) {
	w := httptest.NewRecorder()
	problem.New(422, "dataset %q — “flights”\nis missing", "x").Write(w)
	whole := strings.TrimSpace(w.Body.String())
	const detail = "dataset \"x\" — “flights”\nis missing"
	for n := len(`{"detail":"d`); n < len(whole); n++ {
		got := problem.Text([]byte(whole[:n]))
		if !strings.HasPrefix(detail, strings.TrimRight(strings.TrimSuffix(got, "…"), "\ufffd")) || strings.Contains(got, `{"detail`) {
			t.Errorf("Text of the first %d bytes = %q", n, got)
		}
	}
	for answer, want := range map[string]string{whole: detail, "plain\n": "plain", `{"other":1}`: `{"other":1}`, "": ""} {
		if got := problem.Text([]byte(answer)); got != want {
			t.Errorf("Text(%q) = %q, want %q", answer, got, want)
		}
	}
}
