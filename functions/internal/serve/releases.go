package serve

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"slices"
	"strings"

	"github.com/almanac-data/almanac/functions/internal/dataset"
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
		err = missing("version", "there is no release %s of %s; /v1/datasets/%s/releases lists those there are", v.Text, dataset, dataset)
	}
	return text, doc, err
}

// releaseItem is one release.
type releaseItem struct {
	Version     string            `json:"version"`
	Name        string            `json:"name"`
	Window      string            `json:"window"`
	Revision    int               `json:"revision"`
	Rows        int64             `json:"rows"`
	Bytes       int64             `json:"bytes"`
	Content     string            `json:"content_sha256"` // of the content part of the manifest
	Provisional bool              `json:"provisional,omitempty"`
	Stale       *shelf.Stale      `json:"stale,omitempty"`
	Links       map[string]string `json:"links"`
}

func releaseURL(dataset, version string) string {
	return datasetURL(dataset) + "/releases/" + version
}

func (s *Server) newRelease(ctx context.Context, on *shelf.Shelf, v shelf.Version) (releaseItem, shelf.Manifest, error) {
	item := releaseItem{Version: v.Text, Name: v.Name, Window: v.Window.Key(), Revision: v.Revision}
	_, doc, err := s.openManifest(ctx, on.Dataset, v)
	if err != nil {
		return item, doc, err
	}
	for _, f := range doc.Content.Files {
		item.Rows += f.Rows
		item.Bytes += f.Bytes
	}
	item.Content, item.Provisional = doc.ContentSHA256, len(doc.Content.Provisional) > 0
	url := releaseURL(on.Dataset, v.Text)
	item.Links = map[string]string{"self": url, "manifest": url + "/manifest", "rows": url + "/rows"}
	item.Stale, err = on.Stale(ctx, v)
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
	part, next, err := page(r, all, func(v shelf.Version) string { return v.Text })
	if err != nil {
		return err
	}
	items := make([]releaseItem, len(part))
	for i, v := range part {
		if items[i], _, err = s.newRelease(r.Context(), on, v); err != nil {
			return err
		}
	}
	return answer(w, struct {
		Releases []releaseItem `json:"releases"`
		Next     string        `json:"next,omitempty"`
	}{items, next})
}

// declared refuses a name that neither the pipeline nor a published release has.
func declared(d *dataset.Dataset, name string, on *shelf.Shelf) error {
	names := releaseNames(d, on)
	if name == "" || slices.Contains(names, name) {
		return nil
	}
	return bad("name", "%s has no release %q; it has: %s", d.Name, name, strings.Join(names, ", "))
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
		return bad("name", "%s has several releases, say which by name: %s", d.Name, strings.Join(names, ", "))
	}
	for _, v := range slices.Backward(on.Versions) {
		if name == "" || v.Name == name {
			w.Header().Set("Cache-Control", "no-cache")
			w.Header().Set("Location", releaseURL(d.Name, v.Text))
			w.WriteHeader(http.StatusTemporaryRedirect)
			return nil
		}
	}
	return missing("", "no release of %s is published yet", d.Name)
}

// releaseDetail is a release with its files and its schema.
type releaseDetail struct {
	releaseItem

	Schema []shelf.Column `json:"schema"`
	Files  []fileItem     `json:"files"`
}

type fileItem struct {
	SHA256 string `json:"sha256"`
	Bytes  int64  `json:"bytes"`
	Rows   int64  `json:"rows"`
	Split  string `json:"split,omitempty"`
	URL    string `json:"url"`
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
	detail := releaseDetail{releaseItem: item, Schema: append([]shelf.Column{}, doc.Content.Schema...), Files: []fileItem{}}
	for _, f := range doc.Content.Files {
		url := releaseURL(d.Name, v.Text) + "/files/" + f.SHA256 + ".parquet"
		detail.Files = append(detail.Files, fileItem{f.SHA256, f.Bytes, f.Rows, f.Split, url})
	}
	return answer(w, detail)
}

func (s *Server) versionOf(r *http.Request) (*dataset.Dataset, shelf.Version, error) {
	d, err := s.datasetOf(r)
	if err != nil {
		return nil, shelf.Version{}, err
	}
	v, ok := shelf.Parse(r.PathValue("version"))
	if !ok {
		return nil, v, missing("version", "%q is not a version: they look like <name>-<window>.<revision>, for example training-2001-01.1", r.PathValue("version"))
	}
	return d, v, nil
}
