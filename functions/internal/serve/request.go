package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/serve/access"
)

// known refuses parameters that the route does not have, so that a slip of the pen does not pass for an answer.
func known(u *url.URL, params []string) error {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return bad("", "the query cannot be read: %s", err)
	}
	for name, values := range query {
		if !slices.Contains(params, name) {
			if len(params) == 0 {
				return bad(name, "there is no parameter %q here; there are none", name)
			}
			return bad(name, "there is no parameter %q here; there are: %s", name, strings.Join(params, ", "))
		}
		if len(values) > 1 {
			return bad(name, "parameter %q is given %d times; give it once", name, len(values))
		}
	}
	return nil
}

// number reads a parameter that is a whole number, otherwise the given one.
func number(r *http.Request, name string, otherwise, least, most int64) (int64, error) {
	text := r.URL.Query().Get(name)
	if !r.URL.Query().Has(name) {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > most {
		return 0, bad(name, "%s must be a whole number from %d to %d, not %q", name, least, most, text)
	}
	return n, nil
}

const (
	pageDefault = 100
	pageMost    = 1000
)

// page cuts a list that is in order of its keys after the key of the parameter after, and names the next page, if there is one.
func page[T any](r *http.Request, all []T, key func(T) string) (part []T, next string, err error) {
	limit, err := number(r, "limit", pageDefault, 1, pageMost)
	if err != nil {
		return nil, "", err
	}
	if after := r.URL.Query().Get("after"); after != "" {
		i := slices.IndexFunc(all, func(t T) bool { return key(t) == after })
		if i < 0 {
			return nil, "", bad("after", "there is no %q in this list; take after from the next of the page before", after)
		}
		all = all[i+1:]
	}
	if int64(len(all)) <= limit {
		return append([]T{}, all...), "", nil
	}
	query := r.URL.Query()
	query.Set("after", key(all[limit-1]))
	return all[:limit], r.URL.Path + "?" + query.Encode(), nil
}

// errAway says that the journal did not answer.
var errAway = errors.New("read facts")

func (s *Server) view(ctx context.Context) (*facts.View, error) {
	v, err := s.Journal.View(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAway, err)
	}
	return v, nil
}

// visible lists the datasets that the caller may read.
func (s *Server) visible(ctx context.Context) ([]*dataset.Dataset, error) {
	all, err := s.Datasets.Datasets()
	return slices.DeleteFunc(slices.Clone(all), func(d *dataset.Dataset) bool { return !access.Sees(ctx, d.Name) }), err
}

func (s *Server) datasetOf(r *http.Request) (*dataset.Dataset, error) {
	name := r.PathValue("dataset")
	d, err := s.Datasets.Dataset(name)
	// Who may not read a dataset does not learn either that there is one.
	if errors.Is(err, events.ErrInvalid) || !access.May(r.Context(), name) {
		return nil, missing("dataset", "there is no dataset %q; /v1/datasets lists those there are", name)
	}
	return d, err
}

// answer writes JSON that changes from request to request.
func answer(w http.ResponseWriter, body any) error {
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
	return cut(err)
}

// cut marks an error as one after the answer has begun.
func cut(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errCut, err)
}
