package serve

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// version is the parsed name of a release: <name>-<window>.<revision>.
type version struct {
	text     string
	name     string
	window   window.Window
	revision int
}

// parseVersion reads a version of one of the dataset's releases, or of one that it had once.
func parseVersion(text string) (version, bool) {
	front, rev, ok := cutLast(text, ".")
	revision, err := strconv.Atoi(rev)
	if !ok || err != nil || revision < 1 || strconv.Itoa(revision) != rev {
		return version{}, false
	}
	// A window key holds up to two hyphens itself, so the shortest front that leaves a key is the name.
	for i, c := range front {
		if c != '-' || i == 0 {
			continue
		}
		if w, err := window.Parse(front[i+1:]); err == nil && plainName(front[:i]) {
			return version{text, front[:i], w, revision}, true
		}
	}
	return version{}, false
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

func plainName(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == "" && s[0] != '-'
}

func byTime(a, b version) int {
	return cmp.Or(cmp.Compare(a.name, b.name), a.window.Start.Compare(b.window.Start), cmp.Compare(a.window.Key(), b.window.Key()), cmp.Compare(a.revision, b.revision))
}

// shelf is the releases of a dataset.
type shelf struct {
	dataset  string
	versions []version // by name, time and revision
	marks    map[string]bool
	view     *facts.View
}

const staleMark = ".stale.json"

func folder(dataset string) string { return path.Join("releases", dataset) }

// shelf looks what is published. Facts alone do not tell, as they keep only the last revision of each window.
func (s *Server) shelf(ctx context.Context, d *dataset.Dataset) (shelf, error) {
	found := shelf{dataset: d.Name, marks: map[string]bool{}}
	var err error
	if found.view, err = s.view(ctx); err != nil {
		return found, err
	}
	names, err := s.Files.Names(ctx, folder(d.Name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return found, err
	}
	for _, name := range names {
		if of, ok := strings.CutSuffix(name, staleMark); ok {
			found.marks[of] = true
		} else if v, ok := parseVersion(name); ok {
			found.versions = append(found.versions, v)
		}
	}
	slices.SortFunc(found.versions, byTime)
	return found, nil
}

// staleItem says why a release is outdated.
type staleItem struct {
	Cause        string `json:"cause"`
	SupersededBy string `json:"superseded_by,omitempty"` // the newest version of the same window
}

// stale says why a release is outdated; nil if it is not.
func (s *Server) stale(ctx context.Context, on shelf, v version) (*staleItem, error) {
	var item *staleItem
	if on.marks[v.text] {
		item = &staleItem{Cause: "marked as stale"}
		text, err := s.read(ctx, path.Join(folder(on.dataset), v.text+staleMark))
		if err != nil {
			return nil, err
		}
		if json.Unmarshal(text, item) != nil || item.Cause == "" {
			item = &staleItem{Cause: "marked as stale"}
		}
	}
	newest := v
	for _, other := range on.versions {
		if other.name == v.name && other.window == v.window && other.revision > newest.revision {
			newest = other
		}
	}
	if newest.revision > v.revision {
		if item == nil {
			item = &staleItem{Cause: "a newer revision was released"}
		}
		item.SupersededBy = newest.text
	}
	if item == nil {
		item = on.overtaken(v)
	}
	return item, nil
}

// overtaken says whether a newer revision was said to be released that is not to be seen here.
func (on shelf) overtaken(v version) *staleItem {
	f, ok := facts.Get[events.Released](on.view, events.Piece{Dataset: on.dataset, Name: v.name, Window: v.window.Key()})
	if !ok || f.Revision <= v.revision {
		return nil
	}
	return &staleItem{Cause: "a newer revision was released", SupersededBy: f.Version}
}

func (s *Server) read(ctx context.Context, path string) (_ []byte, err error) {
	f, err := s.Files.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return io.ReadAll(f)
}

// manifestDoc is what the API needs of a release's manifest.json.
type manifestDoc struct {
	Content struct {
		Files  []manifestFile  `json:"files"`
		Schema json.RawMessage `json:"schema"`
	} `json:"content"`
}

type manifestFile struct {
	Path   string `json:"path"` // relative to the release
	Bytes  int64  `json:"bytes"`
	Rows   int64  `json:"rows"`
	SHA256 string `json:"sha256"`
	Split  string `json:"split"`
}

func (s *Server) openManifest(ctx context.Context, dataset string, v version) (text []byte, doc manifestDoc, err error) {
	name := path.Join(folder(dataset), v.text, "manifest.json")
	if text, err = s.read(ctx, name); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = missing("version", "there is no release %s of %s; /v1/datasets/%s/releases lists those there are", v.text, dataset, dataset)
		}
		return nil, doc, err
	}
	if err = json.Unmarshal(text, &doc); err != nil {
		return nil, doc, fmt.Errorf("read %s: %w", name, err)
	}
	for _, f := range doc.Content.Files {
		if !fs.ValidPath(f.Path) {
			return nil, doc, fmt.Errorf("read %s: it names %q, which is outside the release", name, f.Path)
		}
	}
	return text, doc, nil
}

// releaseItem is one release.
type releaseItem struct {
	Version     string            `json:"version"`
	Name        string            `json:"name"`
	Window      string            `json:"window"`
	Revision    int               `json:"revision"`
	Rows        int64             `json:"rows"`
	Bytes       int64             `json:"bytes"`
	Content     string            `json:"content,omitempty"` // hex SHA-256 of the content part of the manifest
	Provisional bool              `json:"provisional,omitempty"`
	Stale       *staleItem        `json:"stale,omitempty"`
	Links       map[string]string `json:"links"`
}

func releaseURL(dataset, version string) string {
	return datasetURL(dataset) + "/releases/" + version
}

func (s *Server) newRelease(ctx context.Context, on shelf, v version) (releaseItem, manifestDoc, error) {
	item := releaseItem{Version: v.text, Name: v.name, Window: v.window.Key(), Revision: v.revision}
	_, doc, err := s.openManifest(ctx, on.dataset, v)
	if err != nil {
		return item, doc, err
	}
	for _, f := range doc.Content.Files {
		item.Rows += f.Rows
		item.Bytes += f.Bytes
	}
	f, ok := facts.Get[events.Released](on.view, events.Piece{Dataset: on.dataset, Name: v.name, Window: v.window.Key()})
	if ok && f.Version == v.text {
		item.Content, item.Provisional = f.Content, f.Provisional
	}
	url := releaseURL(on.dataset, v.text)
	item.Links = map[string]string{"self": url, "manifest": url + "/manifest", "rows": url + "/rows"}
	item.Stale, err = s.stale(ctx, on, v)
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
	all := slices.DeleteFunc(slices.Clone(on.versions), func(v version) bool { return name != "" && v.name != name })
	if err := declared(d, name, on); err != nil {
		return err
	}
	part, next, err := page(r, all, func(v version) string { return v.text })
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
func declared(d *dataset.Dataset, name string, on shelf) error {
	names := releaseNames(d, on)
	if name == "" || slices.Contains(names, name) {
		return nil
	}
	return bad("name", "%s has no release %q; it has: %s", d.Name, name, strings.Join(names, ", "))
}

func releaseNames(d *dataset.Dataset, on shelf) []string {
	var names []string
	for _, q := range d.Releases {
		names = append(names, q.Name)
	}
	for _, v := range on.versions {
		names = append(names, v.name)
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
	for _, v := range slices.Backward(on.versions) {
		if name == "" || v.name == name {
			w.Header().Set("Cache-Control", "no-cache")
			http.Redirect(w, r, releaseURL(d.Name, v.text), http.StatusTemporaryRedirect)
			return nil
		}
	}
	return missing("", "no release of %s is published yet", d.Name)
}

// releaseDetail is a release with its files and its schema.
type releaseDetail struct {
	releaseItem
	Schema json.RawMessage `json:"schema,omitempty"`
	Files  []fileItem      `json:"files"`
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
	detail := releaseDetail{releaseItem: item, Schema: doc.Content.Schema, Files: []fileItem{}}
	for _, f := range doc.Content.Files {
		url := releaseURL(d.Name, v.text) + "/files/" + f.SHA256 + ".parquet"
		detail.Files = append(detail.Files, fileItem{f.SHA256, f.Bytes, f.Rows, f.Split, url})
	}
	return answer(w, detail)
}

func (s *Server) versionOf(r *http.Request) (*dataset.Dataset, version, error) {
	d, err := s.datasetOf(r)
	if err != nil {
		return nil, version{}, err
	}
	v, ok := parseVersion(r.PathValue("version"))
	if !ok {
		return nil, v, missing("version", "%q is not a version: they look like <name>-<window>.<revision>, for example training-2001-01.1", r.PathValue("version"))
	}
	return d, v, nil
}
