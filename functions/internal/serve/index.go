package serve

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/almanac-data/almanac/functions/internal/problem"
	"github.com/almanac-data/almanac/functions/internal/serve/answer"
	"github.com/almanac-data/almanac/functions/internal/serve/format"
	"github.com/almanac-data/almanac/functions/internal/serve/listing"
	"github.com/almanac-data/almanac/functions/internal/serve/runs"
)

//go:embed openapi.json
var openAPI []byte

//go:embed index.html
var indexText string

var indexPage = template.Must(template.New("index").Parse(indexText))

// openAPI sends the description of the API.
func (s *Server) openAPI(w http.ResponseWriter, r *http.Request) error {
	digest := sha256.Sum256(openAPI)
	answer.Pin(w.Header(), digest[:])
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("Content-Type", "application/json")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(openAPI))
	return nil
}

// indexItem is a dataset as / shows it.
type indexItem struct {
	listing.Dataset

	Releases []listing.Release `json:"newest_releases"` // the last window of each release
	Unwell   []runs.Window     `json:"unwell_windows"`  // that stopped, or wait for their source
}

// index lists what there is: a page for browsers, JSON for all others.
func (s *Server) index(w http.ResponseWriter, r *http.Request) error {
	all, err := s.visible(r.Context())
	if err != nil {
		return err
	}
	items := []indexItem{}
	for _, d := range all {
		on, err := s.shelf(r.Context(), d)
		if err != nil {
			return err
		}
		item := indexItem{listing.Of(d, on.View), []listing.Release{}, []runs.Window{}}
		for i, v := range on.Versions {
			if i+1 < len(on.Versions) && on.Versions[i+1].Name == v.Name {
				continue
			}
			release, _, err := s.newRelease(r.Context(), on, v)
			if err != nil {
				return err
			}
			item.Releases = append(item.Releases, release)
		}
		item.Unwell = slices.DeleteFunc(windowsOf(on.View, d), func(w runs.Window) bool { return w.State != runs.Stopped && w.State != runs.Waiting })
		item.Unwell = append([]runs.Window{}, item.Unwell...)
		items = append(items, item)
	}
	w.Header().Set("Vary", "Accept")
	accept := strings.Join(r.Header.Values("Accept"), ", ")
	html, plain := format.Quality(accept, "text/html"), format.Quality(accept, "application/json")
	switch {
	case html == 0 && plain == 0:
		return problem.Field(http.StatusNotAcceptable, "Accept", "this comes as text/html or application/json")
	case html <= plain:
		return answer.JSON(w, struct {
			Datasets []indexItem       `json:"datasets"`
			Links    map[string]string `json:"links"`
		}{items, map[string]string{"openapi": "/openapi.json", "datasets": "/v1/datasets"}})
	}
	var page bytes.Buffer
	if err := indexPage.Execute(&page, items); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	_, err = w.Write(page.Bytes())
	return answer.Cut(err)
}
