package document

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Folder is a folder whose files are read, and what is wrong with them.
type Folder struct {
	Mistakes

	dir  string
	name string
}

// NewFolder is the folder at dir, which messages call by a name.
func NewFolder(dir, name string) *Folder { return &Folder{dir: dir, name: name} }

// File is how messages name a file of the folder.
func (f *Folder) File(name string) string { return f.name + "/" + name }

// Has says whether there is a file of that name.
func (f *Folder) Has(name string) bool {
	_, err := os.Stat(filepath.Join(f.dir, name))
	return err == nil
}

// Parse reads a file as Parse of this package does.
func (f *Folder) Parse(name string) (Node, bool) {
	text, ok := f.Read(name)
	if !ok {
		return Node{}, false
	}
	return Parse(&f.Mistakes, f.File(name), text)
}

// Read reads a file. False says that it cannot be read; what is wrong then is kept.
func (f *Folder) Read(name string) ([]byte, bool) {
	text, err := os.ReadFile(filepath.Join(f.dir, name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.Add(f.File(name), 1, "the file is missing", "add it, docs/datasets.md says what it holds")
		return nil, false
	case err != nil:
		if cause := (*fs.PathError)(nil); errors.As(err, &cause) {
			err = cause.Err
		}
		f.Add(f.File(name), 1, "the file cannot be read: "+err.Error(), "make it readable")
		return nil, false
	}
	return text, true
}
