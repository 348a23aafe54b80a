package lake

import (
	"io"
	"io/fs"
	"path"

	"github.com/almanac-data/almanac/functions/internal/lake/fsys"
)

// FS shows a folder of the warehouse as a file system that cannot be written to.
func (l *Lake) FS(dir string) fs.FS { return view{l.fs, dir} }

// view is a fs.FS below a folder of a warehouse.
type view struct {
	fs  fsys.FS
	dir string
}

var (
	_ fs.ReadDirFS  = view{}
	_ fs.ReadFileFS = view{}
	_ fs.StatFS     = view{}
)

func (v view) at(op, name string) (string, error) {
	if !fs.ValidPath(name) {
		return "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	return fsys.Clean(path.Join(v.dir, name))
}

// Open opens a file or a folder.
func (v view) Open(name string) (fs.File, error) {
	full, err := v.at("open", name)
	if err != nil {
		return nil, err
	}
	info, err := v.fs.Stat(full)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return &folder{view: v, name: name, info: info}, nil
	}
	return v.fs.Open(full)
}

// ReadDir lists a folder.
func (v view) ReadDir(name string) ([]fs.DirEntry, error) {
	full, err := v.at("readdir", name)
	if err != nil {
		return nil, err
	}
	return v.fs.ReadDir(full)
}

// ReadFile reads a whole file.
func (v view) ReadFile(name string) ([]byte, error) {
	full, err := v.at("read", name)
	if err != nil {
		return nil, err
	}
	return fsys.ReadFile(v.fs, full)
}

// Stat describes a name.
func (v view) Stat(name string) (fs.FileInfo, error) {
	full, err := v.at("stat", name)
	if err != nil {
		return nil, err
	}
	return v.fs.Stat(full)
}

// folder is an open folder.
type folder struct {
	view view
	name string
	info fs.FileInfo
	rest []fs.DirEntry
	read bool
}

func (f *folder) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *folder) Close() error               { return nil }

func (f *folder) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: f.name, Err: fs.ErrInvalid}
}

// ReadDir gives the next n names, or all that are left if n is not positive.
func (f *folder) ReadDir(n int) (next []fs.DirEntry, err error) {
	if !f.read {
		if f.rest, err = f.view.ReadDir(f.name); err != nil {
			return nil, err
		}
		f.read = true
	}
	if n <= 0 {
		next, f.rest = f.rest, nil
		return next, nil
	}
	if len(f.rest) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(f.rest))
	next, f.rest = f.rest[:n], f.rest[n:]
	return next, nil
}
