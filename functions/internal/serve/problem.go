package serve

import (
	"context"
	"errors"
	"net/http"

	"github.com/almanac-data/almanac/functions/internal/problem"
	"github.com/almanac-data/almanac/functions/internal/serve/answer"
)

// fail answers with a problem. What is not one is a failure of ours: it is logged, and the caller only learns that there was one.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, answer.ErrCut) {
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
