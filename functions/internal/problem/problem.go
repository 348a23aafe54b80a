// Package problem says over HTTP what is wrong with a request, as a problem detail (RFC 9457).
package problem

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// ContentType is the media type of problem details.
const ContentType = "application/problem+json"

// Error is a problem detail and the error that stands for it. The detail comes first in its JSON, so that it is still told where an answer is cut off,
// as Knative does with what it keeps of one beside a dead letter.
type Error struct {
	Detail string `json:"detail"`
	Status int    `json:"status"`
	Title  string `json:"title"`
	Type   string `json:"type"`
	Field  string `json:"field,omitempty"` // the parameter, header or variable that is to be mended
}

// New makes a problem whose title is that of the status.
func New(status int, format string, args ...any) *Error {
	return &Error{Detail: fmt.Sprintf(format, args...), Status: status, Title: http.StatusText(status), Type: "about:blank"}
}

// Field makes a problem of a parameter, header or variable that is to be mended.
func Field(status int, field, format string, args ...any) *Error {
	p := New(status, format, args...)
	p.Field = field
	return p
}

// Error is the detail as an error.
func (p *Error) Error() string { return p.Detail }

// Write answers with the problem. Headers that the caller set stay, but for those that describe what was to be the answer.
func (p *Error) Write(w http.ResponseWriter) {
	h := w.Header()
	for _, name := range []string{"ETag", "Content-Disposition", "Content-Length", "Repr-Digest", "Last-Modified"} {
		h.Del(name)
	}
	h.Set("Content-Type", ContentType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(p.Status)
	if text, err := json.Marshal(p); err == nil {
		_, _ = w.Write(append(text, '\n')) // who does not hear the problem has gone
	}
}

// NotFound answers 404; it says what there is instead.
func NotFound(there string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		New(http.StatusNotFound, "there is nothing at %s; %s", r.URL.Path, there).Write(w)
	})
}

// Text is what a person reads of an answer: the detail of a problem, also of one that was cut off, or else the answer itself.
func Text(answer []byte) string {
	var p Error
	if json.Unmarshal(answer, &p) == nil && p.Detail != "" {
		return p.Detail
	}
	text := strings.TrimSpace(string(answer))
	if cut, ok := strings.CutPrefix(text, `{"detail":"`); ok {
		for n := len(cut); n > 0; n-- { // the cut may be within an escape
			if json.Unmarshal([]byte(`"`+cut[:n]+`"`), &p.Detail) == nil {
				return p.Detail + "…"
			}
		}
	}
	return text
}
