package serve

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"slices"
	"strings"

	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/serve/answer"
	"github.com/almanac-data/almanac/functions/internal/serve/listing"
	"github.com/almanac-data/almanac/functions/internal/serve/request"
	"github.com/almanac-data/almanac/functions/internal/serve/shelf"
)

// shelf looks what is published of a dataset.
func (s *Server) shelf(ctx context.Context, d *dataset.Dataset) (*shelf.Shelf, error) {
	v, err := s.view(ctx)
	if err != nil {
		return nil, err
	}
	return shelf.Look(ctx, s.Files, v, d.Name)
}

func (s *Server) openManifest(ctx context.Context, dataset string, v shelf.Version) ([]byte, shelf.Manifest, error) {
	text, doc, err := shelf.ReadManifest(ctx, s.Files, dataset, v)
	if errors.Is(err, fs.ErrNotExist) {
		err = request.Missing("version", "there is no release %s of %s; /v1/datasets/%s/releases lists those there are", v.Text, dataset, dataset)
	}
	return text, doc, err
}

func (s *Server) newRelease(ctx context.Context, on *shelf.Shelf, v shelf.Version) (listing.Release, shelf.Manifest, error) {
	_, doc, err := s.openManifest(ctx, on.Dataset, v)
	if err != nil {
		return listing.Release{}, doc, err
	}
	item, err := listing.ReleaseOf(ctx, on, v, doc)
	return item, doc, err
}

func (s *Server) releases(w http.ResponseWriter, r *http.Request) error {
	d, err := s.datasetOf(r)
	if err != nil {
		return err
	}
	on, err := s.shelf(r.Context(), d)
	if err != nil {
		return err
	}
	name := r.URL.Query().Get("name")
	all := slices.DeleteFunc(slices.Clone(on.Versions), func(v shelf.Version) bool { return name != "" && v.Name != name })
	if err := declared(d, name, on); err != nil {
		return err
	}
	part, next, err := request.Page(r, all, func(v shelf.Version) string { return v.Text })
	if err != nil {
		return err
	}
	items := make([]listing.Release, len(part))
	for i, v := range part {
		if items[i], _, err = s.newRelease(r.Context(), on, v); err != nil {
			return err
		}
	}
	return answer.JSON(w, struct {
		Releases []listing.Release `json:"releases"`
		Next     string            `json:"next,omitempty"`
	}{items, next})
}

// declared refuses a name that neither the pipeline nor a published release has.
func declared(d *dataset.Dataset, name string, on *shelf.Shelf) error {
	names := releaseNames(d, on)
	if name == "" || slices.Contains(names, name) {
		return nil
	}
	return request.Bad("name", "%s has no release %q; it has: %s", d.Name, name, strings.Join(names, ", "))
}

func releaseNames(d *dataset.Dataset, on *shelf.Shelf) []string {
	var names []string
	for _, q := range d.Releases {
		names = append(names, q.Name)
	}
	for _, v := range on.Versions {
		names = append(names, v.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// latest sends to the last revision of the newest window.
func (s *Server) latest(w http.ResponseWriter, r *http.Request) error {
	d, err := s.datasetOf(r)
	if err != nil {
		return err
	}
	on, err := s.shelf(r.Context(), d)
	if err != nil {
		return err
	}
	name := r.URL.Query().Get("name")
	if err := declared(d, name, on); err != nil {
		return err
	}
	if names := releaseNames(d, on); name == "" && len(names) > 1 {
		return request.Bad("name", "%s has several releases, say which by name: %s", d.Name, strings.Join(names, ", "))
	}
	for _, v := range slices.Backward(on.Versions) {
		if name == "" || v.Name == name {
			w.Header().Set("Cache-Control", "no-cache")
			w.Header().Set("Location", listing.ReleaseURL(d.Name, v.Text))
			w.WriteHeader(http.StatusTemporaryRedirect)
			return nil
		}
	}
	return request.Missing("", "no release of %s is published yet", d.Name)
}

func (s *Server) release(w http.ResponseWriter, r *http.Request) error {
	d, v, err := s.versionOf(r)
	if err != nil {
		return err
	}
	on, err := s.shelf(r.Context(), d)
	if err != nil {
		return err
	}
	item, doc, err := s.newRelease(r.Context(), on, v)
	if err != nil {
		return err
	}
	return answer.JSON(w, listing.ReleaseDetailOf(item, d.Name, doc))
}

func (s *Server) versionOf(r *http.Request) (*dataset.Dataset, shelf.Version, error) {
	d, err := s.datasetOf(r)
	if err != nil {
		return nil, shelf.Version{}, err
	}
	v, ok := shelf.Parse(r.PathValue("version"))
	if !ok {
		return nil, v, request.Missing("version", "%q is not a version: they look like <name>-<window>.<revision>, for example training-2001-01.1", r.PathValue("version"))
	}
	return d, v, nil
}
