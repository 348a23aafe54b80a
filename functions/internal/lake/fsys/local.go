package fsys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Local is a folder of the local file system.
type Local struct {
	root string
}

// OpenLocal returns the file system of a folder, which is made if it is missing.
func OpenLocal(dir string) (*Local, error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open warehouse %q: %w", dir, err)
	}
	// Iceberg metadata name files by URI, and its readers disagree about escapes.
	if strings.ContainsAny(root, " %?#\\\"<>|") || root == "/" {
		return nil, fmt.Errorf("open warehouse %q: the path must not be / and must not hold spaces or any of %% ? # \\ \" < > |: choose another folder", root)
	}
	if err := os.MkdirAll(root, 0o750); err != nil {
		return nil, fmt.Errorf("open warehouse: %w", err)
	}
	return &Local{root: root}, nil
}

func (l *Local) at(name string) string { return filepath.Join(l.root, filepath.FromSlash(name)) }

// URI is the absolute path.
func (l *Local) URI(name string) string { return l.at(name) }

// Open opens a file for reading.
func (l *Local) Open(name string) (Reader, error) { return os.Open(l.at(name)) }

// Stat describes a name.
func (l *Local) Stat(name string) (fs.FileInfo, error) { return os.Stat(l.at(name)) }

// ReadDir lists a folder, sorted by name.
func (l *Local) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(l.at(name)) }

// MkdirAll makes a folder and those above it.
func (l *Local) MkdirAll(name string) error { return os.MkdirAll(l.at(name), 0o750) }

// Remove deletes a file or an empty folder.
func (l *Local) Remove(name string) error { return os.Remove(l.at(name)) }

// RemoveAll deletes a folder with all that it holds.
func (l *Local) RemoveAll(name string) error { return os.RemoveAll(l.at(name)) }

// Create makes or truncates a file, and the folders above it.
func (l *Local) Create(name string) (Writer, error) {
	f, err := os.Create(l.at(name))
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(l.at(name)), 0o750); err != nil {
			return nil, err
		}
		f, err = os.Create(l.at(name))
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Rename moves a file atomically over whatever file stands at the new name.
func (l *Local) Rename(old, name string) error { return os.Rename(l.at(old), l.at(name)) }

// RenameNew moves a file or folder atomically to a name that must be free.
func (l *Local) RenameNew(old, name string) error { return renameNew(l.at(old), l.at(name)) }

// SyncDir makes the names in a folder durable.
func (l *Local) SyncDir(name string) error {
	d, err := os.Open(l.at(name))
	if err != nil {
		return err
	}
	err = d.Sync()
	return errors.Join(err, d.Close())
}
