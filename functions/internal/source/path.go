package source

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/dataset/glob"
	"github.com/almanac-data/almanac/functions/internal/window"
)

const (
	meta = `*?[\`
	// maxFiles bounds the pin of a window, which travels in facts.
	maxFiles = 1000
)

// find lists the paths of a window's files, sorted.
func find(d *dataset.Dataset, w window.Window) ([]string, error) {
	pattern := glob.Of(d, w)
	if !strings.ContainsAny(d.Collect.Path, meta) {
		return []string{unescape(pattern)}, nil
	}
	paths, err := matching(pattern)
	if err != nil {
		return nil, fmt.Errorf("find files of window %s of %s: %w: collect.source.path %s: %w", w, d.Name, events.ErrInvalid, d.Collect.Path, err)
	}
	if len(paths) == 0 {
		return nil, noMatch(pattern, d, w)
	}
	if len(paths) > maxFiles {
		return nil, fmt.Errorf("find files of window %s of %s: %w: %d files match %s, more than %d: let several be one, or collect more often",
			w, d.Name, events.ErrInvalid, len(paths), unescape(pattern), maxFiles)
	}
	slices.Sort(paths)
	return paths, nil
}

// matching is filepath.Glob, except that, as in a shell, a pattern does not match names that begin with a dot unless it begins with
// one itself: writers hide what is not finished under such names.
func matching(pattern string) ([]string, error) {
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return nil, err
	}
	parts := strings.Split(filepath.Clean(pattern), "/")
	return slices.DeleteFunc(paths, func(path string) bool {
		for i, name := range strings.Split(path, "/") {
			if strings.HasPrefix(name, ".") && i < len(parts) && !strings.HasPrefix(parts[i], ".") {
				return true
			}
		}
		return false
	}), nil
}

// noMatch says why a pattern matched nothing: filepath.Glob leaves out folders that it cannot read.
func noMatch(pattern string, d *dataset.Dataset, w window.Window) error {
	fixed := escaped.ReplaceAllString(pattern, "__")
	dir := unescape(pattern[:strings.LastIndexByte(fixed[:strings.IndexAny(fixed, meta)], '/')+1])
	if _, err := os.ReadDir(dir); err != nil {
		return explain(filepath.Clean(dir), d, w, err)
	}
	return fmt.Errorf("find files of window %s of %s: no file matches %s: %w: put the files there, or correct collect.source.path (%s) in pipeline.yaml",
		w, d.Name, unescape(pattern), fs.ErrNotExist, d.Collect.Path)
}

// escaped is a character of a pattern that stands for itself.
var escaped = regexp.MustCompile(`\\(.)`)

func unescape(pattern string) string { return escaped.ReplaceAllString(pattern, "$1") }

// uri names a file in a pin: relative to the dataset's folder when it lies below it, so that a pin does not depend on where the
// folder is, else absolute.
func uri(d *dataset.Dataset, path string) string {
	rel, err := filepath.Rel(d.Dir, path)
	if err == nil && filepath.IsLocal(rel) {
		return filepath.ToSlash(rel)
	}
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

func resolve(d *dataset.Dataset, uri string) string {
	if filepath.IsAbs(uri) {
		return filepath.Clean(uri)
	}
	return filepath.Join(d.Dir, filepath.FromSlash(uri))
}
