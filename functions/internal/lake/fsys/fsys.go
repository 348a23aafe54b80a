// Package fsys is the file system under a warehouse: a small port, and the local implementation of it.
//
// Names are slash-separated paths relative to the warehouse, clean and within it (see Clean).
// A missing name is fs.ErrNotExist, a taken one fs.ErrExist.
package fsys

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// FS is what a warehouse needs of a file system. It has more methods than a port of ours usually has,
// because it is one: the least with which files can be published atomically.
type FS interface { //nolint:interfacebloat // a file system is what it is
	// URI is the absolute location of a name for other programs.
	URI(name string) string
	// Open opens a file for reading. The caller closes it.
	Open(name string) (Reader, error)
	// Create makes or truncates a file, and the folders above it. The caller closes it.
	Create(name string) (Writer, error)
	// Stat describes a name.
	Stat(name string) (fs.FileInfo, error)
	// ReadDir lists a folder, sorted by name.
	ReadDir(name string) ([]fs.DirEntry, error)
	// MkdirAll makes a folder and those above it.
	MkdirAll(name string) error
	// Rename moves a file atomically over whatever file stands at the new name.
	Rename(old, name string) error
	// RenameNew moves a file or folder atomically to a name that must be free. Of several at once exactly one wins,
	// the others get fs.ErrExist.
	RenameNew(old, name string) error
	// SyncDir makes the names in a folder durable.
	SyncDir(name string) error
	// Remove deletes a file or an empty folder; RemoveAll a whole folder.
	Remove(name string) error
	RemoveAll(name string) error
}

// Reader reads an open file. It is an alias, as Writer is, so that a file system can be an FS without importing this package.
type Reader = interface {
	io.ReadSeekCloser
	io.ReaderAt
	Stat() (fs.FileInfo, error)
}

// Writer writes an open file. What was written before Sync is durable after it.
type Writer = interface {
	io.WriteCloser
	Sync() error
}

// WriteFile makes a durable file of the bytes.
func WriteFile(fs FS, name string, data []byte) error {
	w, err := fs.Create(name)
	if err != nil {
		return err
	}
	if _, err = w.Write(data); err == nil {
		err = w.Sync()
	}
	return errors.Join(err, w.Close())
}

// ReadFile reads a whole file.
func ReadFile(fs FS, name string) (_ []byte, err error) {
	r, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	info, err := r.Stat()
	if err != nil {
		return nil, err
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, err
	}
	return data, nil
}

// Clean returns the shortest form of a name, or an error that wraps fs.ErrInvalid if it is empty, absolute or leaves the warehouse.
func Clean(name string) (string, error) {
	clean := path.Clean(name)
	if name == "" || !fs.ValidPath(clean) || strings.ContainsAny(name, "\\\x00") {
		return "", fmt.Errorf("path %q does not lie within the warehouse: %w", name, fs.ErrInvalid)
	}
	return clean, nil
}
