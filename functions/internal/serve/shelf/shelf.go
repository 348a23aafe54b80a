// Package shelf finds the releases of a dataset in the warehouse, reads their manifests, and tells which are outdated and why.
package shelf

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/facts"
)

// Files are the files of the warehouse, by their paths in it. What is missing is fs.ErrNotExist.
type Files interface {
	Open(ctx context.Context, path string) (io.ReadCloser, error)
	// Names lists the names in a folder.
	Names(ctx context.Context, dir string) ([]string, error)
}

// Shelf is what is published of a dataset at one moment.
type Shelf struct {
	Dataset  string
	Versions []Version // by name, time and revision
	View     *facts.View
	files    Files
	marks    map[string]bool
}

// staleMark ends the name of the file that marks a version as stale.
const staleMark = ".stale.json"

func folder(dataset string) string { return path.Join("releases", dataset) }

// Path is the path in the warehouse of a file of a release.
func Path(dataset string, v Version, file string) string {
	return path.Join(folder(dataset), v.Text, file)
}

// Look finds what is published. Facts alone do not tell, as they keep only the last revision of each window.
func Look(ctx context.Context, files Files, view *facts.View, dataset string) (*Shelf, error) {
	s := &Shelf{Dataset: dataset, View: view, files: files, marks: map[string]bool{}}
	names, err := files.Names(ctx, folder(dataset))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list releases: %w", err)
	}
	for _, name := range names {
		if of, ok := strings.CutSuffix(name, staleMark); ok {
			s.marks[of] = true
		} else if v, ok := Parse(name); ok {
			s.Versions = append(s.Versions, v)
		}
	}
	slices.SortFunc(s.Versions, byTime)
	return s, nil
}

// Stale says why a release is outdated.
type Stale struct {
	Cause        string   `json:"cause"`
	Changed      []string `json:"changed,omitempty"`       // inputs that differ
	SupersededBy string   `json:"superseded_by,omitempty"` // the newest version of the same window
}

// Stale says why a release is outdated: what its mark says, or that there is a newer revision. It is nil if the release is not.
func (s *Shelf) Stale(ctx context.Context, v Version) (*Stale, error) {
	newest := s.newest(v)
	if !s.marks[v.Text] && newest == v.Text {
		return nil, nil
	}
	stale := &Stale{Cause: "a newer revision was released"}
	if s.marks[v.Text] {
		text, err := read(ctx, s.files, path.Join(folder(s.Dataset), v.Text+staleMark))
		if err != nil {
			return nil, fmt.Errorf("read why %s is stale: %w", v.Text, err)
		}
		stale.Cause = "marked as stale"
		var mark Stale
		if json.Unmarshal(text, &mark) == nil && mark.Cause != "" {
			*stale = mark
		}
	}
	// The mark names the next revision before that is published.
	stale.SupersededBy = ""
	if newest != v.Text {
		stale.SupersededBy = newest
	}
	return stale, nil
}

// newest is the version with the greatest revision of the same window, published or said to be.
func (s *Shelf) newest(v Version) string {
	newest, text := v.Revision, v.Text
	for _, other := range s.Versions {
		if other.Name == v.Name && other.Window == v.Window && other.Revision > newest {
			newest, text = other.Revision, other.Text
		}
	}
	said, ok := facts.Get[events.Released](s.View, events.Piece{Dataset: s.Dataset, Name: v.Name, Window: v.Window.Key()})
	if ok && said.Revision > newest {
		return said.Version
	}
	return text
}

// Manifest is what a reader needs of manifest.json.
type Manifest struct {
	Content struct {
		Files       []File            `json:"files"`
		Schema      []Column          `json:"schema"`
		Provisional []json.RawMessage `json:"provisional"` // what was absent
	} `json:"content"`
	ContentSHA256 string `json:"content_sha256"`
}

// Column is a column of the data files.
type Column struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Nullable bool   `json:"nullable"`
}

// File is a data file of a release.
type File struct {
	Path   string `json:"path"` // relative to the release
	Bytes  int64  `json:"bytes"`
	Rows   int64  `json:"rows"`
	SHA256 string `json:"sha256"`
	Split  string `json:"split"`
}

// ReadManifest reads manifest.json: its bytes and what they say. The error wraps fs.ErrNotExist if there is no such release.
func ReadManifest(ctx context.Context, files Files, dataset string, v Version) (text []byte, m Manifest, err error) {
	name := Path(dataset, v, "manifest.json")
	if text, err = read(ctx, files, name); err != nil {
		return nil, m, fmt.Errorf("read manifest of %s: %w", v.Text, err)
	}
	if err = json.Unmarshal(text, &m); err != nil {
		return nil, m, fmt.Errorf("read %s: %w", name, err)
	}
	for _, f := range m.Content.Files {
		if !fs.ValidPath(f.Path) {
			return nil, m, fmt.Errorf("read %s: it names %q, which is outside the release", name, f.Path)
		}
	}
	return text, m, nil
}

func read(ctx context.Context, files Files, path string) (_ []byte, err error) {
	f, err := files.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return io.ReadAll(f)
}
