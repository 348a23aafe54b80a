package serve

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/almanac-data/almanac/functions/internal/problem"
)

func bad(field, format string, args ...any) *problem.Error {
	return problem.Field(http.StatusBadRequest, field, format, args...)
}

func missing(field, format string, args ...any) *problem.Error {
	return problem.Field(http.StatusNotFound, field, format, args...)
}

// errCut marks a failure after the answer has begun.
var errCut = errors.New("answer cut off")

// fail answers with a problem. What is not one is a failure of ours: it is logged, and the caller only learns that there was one.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, errCut) {
		if r.Context().Err() == nil {
			s.Log.ErrorContext(r.Context(), "answer cut off", "path", r.URL.Path, "error", err.Error())
		}
		// The only way to let the client see that the answer is not whole; the server expects it.
		panic(http.ErrAbortHandler)
	}
	var p *problem.Error
	switch {
	case errors.As(err, &p):
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		return // nobody waits for the answer
	case errors.Is(err, errAway):
		s.Log.ErrorContext(r.Context(), "request failed", "path", r.URL.Path, "error", err.Error())
		w.Header().Set("Retry-After", "5")
		p = problem.New(http.StatusServiceUnavailable, "the facts cannot be read just now; try again")
	default:
		s.Log.ErrorContext(r.Context(), "request failed", "path", r.URL.Path, "error", err.Error())
		p = problem.New(http.StatusInternalServerError, "the request failed on the server; its log says why")
	}
	p.Write(w)
}

// strange makes a problem of what the mux says to a request that no route is for.
func strange(h http.Handler, w http.ResponseWriter, r *http.Request) *problem.Error {
	heard := &listener{header: http.Header{}}
	h.ServeHTTP(heard, r)
	if heard.status != http.StatusMethodNotAllowed {
		return missing("", "there is nothing at %s; / lists what there is", r.URL.Path)
	}
	allow := heard.header.Get("Allow")
	w.Header().Set("Allow", allow)
	return problem.New(http.StatusMethodNotAllowed, "%s takes %s, not %s", r.URL.Path, strings.ReplaceAll(allow, ", ", " and "), r.Method)
}

// listener hears status and header of an answer.
type listener struct {
	header http.Header
	status int
}

func (l *listener) Header() http.Header         { return l.header }
func (l *listener) Write(p []byte) (int, error) { return len(p), nil }
func (l *listener) WriteHeader(status int)      { l.status = status }
