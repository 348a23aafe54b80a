// Package problem is what the API answers in place of what was asked for: problem details (RFC 9457).
package problem

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// Error is a problem detail and the error that stands for it.
type Error struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Field  string `json:"field,omitempty"` // the parameter or header that is to be mended
}

func (p *Error) Error() string { return p.Detail }

// New makes a problem of an HTTP status.
func New(status int, field, format string, args ...any) *Error {
	return &Error{Type: "about:blank", Title: http.StatusText(status), Status: status, Field: field, Detail: fmt.Sprintf(format, args...)}
}

// Write answers with a problem, in place of whatever the header says already.
func Write(w http.ResponseWriter, p *Error) {
	h := w.Header()
	for _, name := range []string{"ETag", "Content-Disposition", "Content-Length", "Repr-Digest", "Last-Modified"} {
		h.Del(name)
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	if text, err := json.Marshal(p); err == nil {
		_, _ = w.Write(append(text, '\n')) // who does not hear the problem has gone
	}
}
