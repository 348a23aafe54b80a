package published

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

const manifestFormat = "almanac.dataset/1"

// maxFiles bounds the files of a version.
const maxFiles = 10_000

// Manifest lists what a version holds.
type Manifest struct {
	Format  string `json:"format"`
	Dataset string `json:"dataset"`
	Files   []File `json:"files"` // sorted by path
}

// File is a file of a dataset's folder.
type File struct {
	Path   string `json:"path"` // slash-separated, relative to the folder
	Bytes  int64  `json:"bytes"`
	Digest string `json:"sha256"`
}

// Version is the digest of the content: of the dataset's name, and the path, length and digest of each file.
func (m Manifest) Version() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n", manifestFormat, m.Dataset)
	for _, f := range m.Files {
		fmt.Fprintf(&b, "%s %d %s\n", f.Digest, f.Bytes, f.Path)
	}
	return digest([]byte(b.String()))
}

// Bytes is the length of all files together.
func (m Manifest) Bytes() int64 {
	var n int64
	for _, f := range m.Files {
		n += f.Bytes
	}
	return n
}

// Changes are the paths in which one version differs from another, sorted.
type Changes struct {
	Added   []string `json:"added,omitempty"`
	Changed []string `json:"changed,omitempty"`
	Removed []string `json:"removed,omitempty"`
}

// Since lists in what m differs from an earlier manifest.
func (m Manifest) Since(earlier Manifest) Changes {
	var c Changes
	was := map[string]string{}
	for _, f := range earlier.Files {
		was[f.Path] = f.Digest
	}
	for _, f := range m.Files {
		switch before, ok := was[f.Path]; {
		case !ok:
			c.Added = append(c.Added, f.Path)
		case before != f.Digest:
			c.Changed = append(c.Changed, f.Path)
		}
		delete(was, f.Path)
	}
	for _, f := range earlier.Files {
		if _, ok := was[f.Path]; ok {
			c.Removed = append(c.Removed, f.Path)
		}
	}
	return c
}

// ReadManifest reads the manifest of a version, and sees that it is the one that the version is named by. The error wraps fs.ErrNotExist if there
// is no such version.
func ReadManifest(datasets fs.FS, dataset, version string) (Manifest, error) {
	var m Manifest
	name := path.Join(dataset, version, manifestName)
	data, err := fs.ReadFile(datasets, name)
	if err == nil {
		if err = json.Unmarshal(data, &m); err == nil {
			err = m.check(dataset, version)
		}
		if err != nil {
			err = damaged(dataset, version, fmt.Errorf("%s: %w", manifestName, err))
		}
	}
	if err != nil {
		return m, fmt.Errorf("read version %s of %s: %w", Short(version), dataset, err)
	}
	return m, nil
}

func (m Manifest) check(dataset, version string) error {
	if m.Format != manifestFormat {
		return fmt.Errorf("its format is %q, not %s: a later version of Almanac has written it, use that", m.Format, manifestFormat)
	}
	if m.Dataset != dataset || m.Version() != version {
		return errors.New("it is not the one that the version is named by")
	}
	for _, f := range m.Files { // whoever may write to the warehouse may name a version as he likes
		if !fs.ValidPath(f.Path) || f.Path == "." || wrongName(f.Path) || f.Bytes < 0 {
			return fmt.Errorf("it names the file %q", f.Path)
		}
	}
	if !slices.IsSortedFunc(m.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) }) || len(m.Files) > maxFiles {
		return errors.New("its files are not sorted, or too many")
	}
	return nil
}

// damaged says what to do about a version that is not as it was published.
func damaged(dataset, version string, err error) error {
	return fmt.Errorf("%w; it was changed or is damaged: move the folder %s of the warehouse away, and publish %s again", err, path.Join(Root, dataset, version), dataset)
}

// wrongName says whether a path is none that every file system of a warehouse can hold.
func wrongName(name string) bool {
	return strings.ContainsAny(name, ":\\\x7f") || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == '\uFFFD' })
}
