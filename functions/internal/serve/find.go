package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/serve/access"
	"github.com/almanac-data/almanac/functions/internal/serve/request"
)

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
		return nil, request.Missing("dataset", "there is no dataset %q; /v1/datasets lists those there are", name)
	}
	return d, err
}
