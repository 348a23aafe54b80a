// Package answer writes answers: those that change from request to request, and those that never do.
package answer

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/almanac-data/almanac/functions/internal/problem"
	"github.com/almanac-data/almanac/functions/internal/serve/request"
)

// ErrCut marks a failure after the answer has begun.
var ErrCut = errors.New("answer cut off")

// JSON writes what changes from request to request.
func JSON(w http.ResponseWriter, body any) error {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false) // the next page is to be followed as it stands
	if err := enc.Encode(body); err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache")
	_, err := w.Write(text.Bytes())
	return Cut(err)
}

// Cut marks an error as one after the answer has begun.
func Cut(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrCut, err)
}

// Forever is the caching of what never changes.
const Forever = "public, max-age=31536000, immutable"

// Pin says that the bytes to come are those of a digest and never change.
func Pin(h http.Header, digest []byte) {
	h.Set("ETag", `"`+hex.EncodeToString(digest)+`"`)
	h.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(digest)+":") // RFC 9530
	h.Set("Cache-Control", Forever)
}

// Strange makes a problem of what the mux says to a request that no route is for.
func Strange(h http.Handler, w http.ResponseWriter, r *http.Request) *problem.Error {
	heard := &listener{header: http.Header{}}
	h.ServeHTTP(heard, r)
	if heard.status != http.StatusMethodNotAllowed {
		return request.Missing("", "there is nothing at %s; / lists what there is", r.URL.Path)
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
