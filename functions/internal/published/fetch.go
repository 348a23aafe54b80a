package published

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Fetch copies the files of a version to a folder that must not exist yet, and sees that each is as it was published. A version of more bytes than
// most is refused.
func Fetch(datasets fs.FS, dataset, version, to string, most int64) (Manifest, error) {
	return fetch(datasets, dataset, version, most, folder(to))
}

const unbounded = 1 << 62

// Verify reads the files of a version, and sees that each is as it was published.
func Verify(datasets fs.FS, dataset, version string) (Manifest, error) {
	return fetch(datasets, dataset, version, unbounded, discard{})
}

func fetch(datasets fs.FS, dataset, version string, most int64, to sink) (Manifest, error) {
	m, err := ReadManifest(datasets, dataset, version)
	if err != nil {
		return m, err
	}
	if n := m.Bytes(); n > most {
		return m, fmt.Errorf("read version %s of %s: it holds %d bytes, and at most %d are taken: raise ALMANAC_DATASETS_BYTES, or publish less",
			Short(version), dataset, n, most)
	}
	files, err := fs.Sub(datasets, path.Join(dataset, version, filesName))
	if err != nil {
		return m, err
	}
	for _, f := range m.Files {
		switch got, err := transfer(files, f.Path, most, to); {
		case errors.Is(err, fs.ErrNotExist):
			return m, fmt.Errorf("read version %s of %s: %w", Short(version), dataset, damaged(dataset, version, errors.New(f.Path+" is missing")))
		case err != nil:
			return m, fmt.Errorf("read version %s of %s: %s: %w", Short(version), dataset, f.Path, err)
		case got != f:
			return m, fmt.Errorf("read version %s of %s: %w", Short(version), dataset, damaged(dataset, version, errors.New(f.Path+" has not the digest of its manifest")))
		}
	}
	return m, nil
}

func sortFiles(files []File) {
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
}
