//go:build !linux

package keep

import (
	"errors"
	"os"
	"path/filepath"
)

// file lies in a folder that only the user can read.
type file struct{ dir string }

// newFile holds a value.
func newFile(value []byte) (*file, error) {
	dir, err := os.MkdirTemp("", "almanac-secret-")
	if err != nil {
		return nil, err
	}
	f := &file{dir}
	if err := f.replace(value); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

func (f *file) path() string { return filepath.Join(f.dir, "value") }

// replace puts another file in its place, at once.
func (f *file) replace(value []byte) error {
	next := f.path() + ".new"
	if err := os.WriteFile(next, value, 0o600); err != nil {
		return err
	}
	return os.Rename(next, f.path())
}

func (f *file) close() error { return os.RemoveAll(f.dir) }
