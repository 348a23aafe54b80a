// Package serve answers HTTP requests about datasets: their windows and balance sheets, what was refused, and their releases with
// manifest, files and rows. It only reads: facts from the journal, files from the warehouse. openapi.json describes it.
package serve

import (
	"context"
	"io"
	"log/slog"
	"net/http"

	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/serve/access"
	"github.com/almanac-data/almanac/functions/internal/serve/answer"
	"github.com/almanac-data/almanac/functions/internal/serve/request"
	"github.com/almanac-data/almanac/functions/internal/table"
)

// Journal is where the facts are read.
type Journal interface {
	View(ctx context.Context) (*facts.View, error)
}

// Datasets are the datasets that there are.
type Datasets interface {
	// Datasets lists them by name.
	Datasets() ([]*dataset.Dataset, error)
	// Dataset finds one; the error wraps events.ErrInvalid if there is none of that name.
	Dataset(name string) (*dataset.Dataset, error)
}

// Files are the files of the warehouse, by their paths in it. What is missing is fs.ErrNotExist.
type Files interface {
	// Open opens a file, which must also be an io.Seeker. One of the local file system should be an *os.File, so that the kernel sends it.
	Open(ctx context.Context, path string) (io.ReadCloser, error)
	// Names lists the names in a folder.
	Names(ctx context.Context, dir string) ([]string, error)
	// Scan reads the columns of a Parquet file, or all if none is named, batch by batch.
	Scan(ctx context.Context, path string, columns ...string) (table.Reader, error)
}

// Server is the API.
type Server struct {
	Journal  Journal
	Datasets Datasets
	Files    Files
	Gate     *access.Gate // that asks callers who they are; nil to let everyone read everything
	Log      *slog.Logger // of failures that are ours
}

// route is one line of the API. A GET route answers HEAD too.
type route struct {
	path   string
	params []string // of the query
	serve  func(w http.ResponseWriter, r *http.Request) error
}

func (s *Server) routes() []route {
	page := []string{"limit", "after"}
	release := "/v1/datasets/{dataset}/releases/{version}"
	return []route{
		{"/{$}", nil, s.index},
		{"/openapi.json", nil, s.openAPI},
		{"/v1/datasets", nil, s.datasets},
		{"/v1/datasets/{dataset}", nil, s.dataset},
		{"/v1/datasets/{dataset}/windows", page, s.windows},
		{"/v1/datasets/{dataset}/windows/{window}", nil, s.window},
		{"/v1/datasets/{dataset}/quarantine", page, s.quarantine},
		{"/v1/datasets/{dataset}/releases", append([]string{"name"}, page...), s.releases},
		{"/v1/datasets/{dataset}/releases/latest", []string{"name"}, s.latest},
		{release, nil, s.release},
		{release + "/manifest", nil, s.manifest},
		{release + "/files/{file}", nil, s.file},
		{release + "/rows", []string{"format", "columns", "limit", "split"}, s.rows},
	}
}

// New returns the API as a handler. Every error is a problem detail (RFC 9457).
func New(s Server) http.Handler {
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	mux := http.NewServeMux()
	for _, rt := range s.routes() {
		mux.HandleFunc("GET "+rt.path, func(w http.ResponseWriter, r *http.Request) {
			err := request.Known(r.URL, rt.params)
			if err == nil {
				err = rt.serve(w, r)
			}
			if err != nil {
				s.fail(w, r, err)
			}
		})
	}
	return s.guarded(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Ask first, as the mux's own answers to strangers are no problem details.
		if h, pattern := mux.Handler(r); pattern == "" {
			s.fail(w, r, answer.Strange(h, w, r))
			return
		}
		mux.ServeHTTP(w, r)
	}))
}

func (s *Server) guarded(next http.Handler) http.Handler {
	if s.Gate == nil {
		next = access.Everyone(next)
	} else {
		next = s.Gate.Guard(next)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secure(w.Header())
		next.ServeHTTP(w, r)
	})
}

// secure sets the headers that keep a browser from doing with an answer what it was not made for.
func secure(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}
