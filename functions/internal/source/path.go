package source

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/window"
)

const (
	meta = `*?[\`
	// maxFiles bounds the pin of a window, which travels in facts.
	maxFiles = 1000
)

// find lists the paths of a window's files, sorted.
func find(d *dataset.Dataset, w window.Window) ([]string, error) {
	pattern, err := expand(d.Collect.Path, w)
	if err != nil {
		return nil, fmt.Errorf("find files of window %s of %s: %w", w, d.Name, err)
	}
	if !strings.ContainsAny(pattern, meta) {
		return []string{resolve(d, pattern)}, nil
	}
	paths, err := glob(filepath.Join(escape(base(d, pattern)), pattern))
	if err != nil {
		return nil, fmt.Errorf("find files of window %s of %s: %w: collect.source.path %s: %w", w, d.Name, events.ErrInvalid, pattern, err)
	}
	if len(paths) == 0 {
		return nil, noMatch(pattern, d, w)
	}
	if len(paths) > maxFiles {
		return nil, fmt.Errorf("find files of window %s of %s: %w: %d files match %s, more than %d: let several be one, or collect more often",
			w, d.Name, events.ErrInvalid, len(paths), pattern, maxFiles)
	}
	slices.Sort(paths)
	return paths, nil
}

// expand puts the window into a path template.
func expand(template string, w window.Window) (string, error) {
	t := w.Start
	year, week := t.ISOWeek()
	path := strings.NewReplacer(
		"{yyyy-mm-dd}", t.Format("2006-01-02"),
		"{yyyy-Www}", fmt.Sprintf("%04d-W%02d", year, week),
		"{yyyy-mm}", t.Format("2006-01"),
		"{yyyy}", t.Format("2006"),
		"{mm}", t.Format("01"),
		"{dd}", t.Format("02"),
	).Replace(template)
	if i := strings.IndexByte(path, '{'); i >= 0 {
		return "", fmt.Errorf("%w: collect.source.path: %s is none of {yyyy} {mm} {dd} {yyyy-mm} {yyyy-mm-dd} {yyyy-Www}", events.ErrInvalid, path[i:])
	}
	return path, nil
}

// glob is filepath.Glob, except that, as in a shell, a pattern does not match names that begin with a dot unless it begins with
// one itself: writers hide what is not finished under such names.
func glob(pattern string) ([]string, error) {
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
	fixed := pattern[:strings.IndexAny(pattern, meta)]
	dir := filepath.Join(base(d, pattern), fixed[:strings.LastIndexByte(fixed, '/')+1])
	if _, err := os.ReadDir(dir); err != nil {
		return explain(dir, d, w, err)
	}
	return fmt.Errorf("find files of window %s of %s: no file matches %s: %w: put the files there, or correct collect.source.path (%s) in pipeline.yaml",
		w, d.Name, filepath.Join(base(d, pattern), pattern), fs.ErrNotExist, d.Collect.Path)
}

// base is the folder that a path of the pipeline starts from.
func base(d *dataset.Dataset, path string) string {
	if filepath.IsAbs(path) {
		return "/"
	}
	return d.Dir
}

func escape(dir string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(dir)
}

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
	return filepath.Join(base(d, uri), filepath.FromSlash(uri))
}
