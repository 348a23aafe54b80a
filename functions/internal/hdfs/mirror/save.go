package mirror

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/almanac-data/almanac/functions/internal/hdfs"
)

// Source is a folder of HDFS.
type Source interface {
	URI(name string) string
	Owned(name string) (hdfs.Owned, error)
	ListOwned(name string) ([]hdfs.Owned, error)
	Open(name string) (hdfs.Reader, error)
}

// mark is a file in a mirror that says that it is one: what is not in the source any more is deleted from it.
const mark = ".almanac-mirror"

// Save makes a local folder the copy of the source as it is in one of its snapshots. What the list of the last time has, with the same length and time, is not copied
// again. The local folder must be empty, missing, or a mirror. It returns the list of what it holds.
func Save(ctx context.Context, from Source, snapshot, dir string, last List) (List, error) {
	s := &saver{from: from, root: path.Join(".snapshot", snapshot), dir: dir, known: map[string]Entry{}}
	for _, e := range last.Entries {
		s.known[e.Path] = e
	}
	list := List{URI: from.URI(".")}
	if err := claim(dir); err != nil {
		return list, err
	}
	root, err := from.Owned(s.root)
	if err == nil {
		root.Path = "."
		err = s.folder(root, ".")
	}
	if err == nil {
		err = s.copy(ctx)
	}
	if err == nil {
		err = s.tidy()
	}
	if err != nil {
		return list, fmt.Errorf("copy %s: %w", from.URI(s.root), err)
	}
	list.Entries = s.entries
	return list, nil
}

// claim makes an empty folder a mirror.
func claim(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	found, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return os.WriteFile(filepath.Join(dir, mark), nil, 0o600)
	}
	if _, err := os.Stat(filepath.Join(dir, mark)); err != nil {
		return fmt.Errorf("%s holds something else than a copy of a warehouse (%s is not there), and would lose it: name an empty folder", dir, mark)
	}
	return nil
}

type saver struct {
	from    Source
	root    string
	dir     string
	known   map[string]Entry
	entries []Entry
}

// folder lists a folder and all below it.
func (s *saver) folder(o hdfs.Owned, name string) error {
	s.entries = append(s.entries, Entry{Path: name, Folder: true, Owner: o.Owner, Group: o.Group, Mode: o.Mode, ACL: o.ACL})
	found, err := s.from.ListOwned(path.Join(s.root, name))
	if err != nil {
		return err
	}
	for _, o := range found {
		at := path.Join(name, o.Path)
		switch {
		case !valid(at):
			return fmt.Errorf("%q is a name that cannot be kept: %w", at, fs.ErrInvalid)
		case making(at):
		case o.IsDir():
			if err := s.folder(o, at); err != nil {
				return err
			}
		default:
			s.entries = append(s.entries, Entry{
				Path: at, Bytes: o.Size(), Modified: o.ModTime().UnixMilli(), Owner: o.Owner, Group: o.Group, Mode: o.Mode, ACL: o.ACL,
			})
		}
	}
	return nil
}

// copy copies the files that are not known.
func (s *saver) copy(ctx context.Context) error {
	for _, e := range s.entries {
		if !e.Folder {
			continue
		}
		if err := os.MkdirAll(local(s.dir, e.Path), 0o700); err != nil {
			return err
		}
	}
	return each(ctx, s.entries, func(i int) error {
		if e := &s.entries[i]; !e.Folder && !s.unchanged(e) {
			return s.file(e)
		}
		return nil
	})
}

// unchanged takes the digest of a file that was copied before.
func (s *saver) unchanged(e *Entry) bool {
	was, ok := s.known[e.Path]
	if !ok || was.SHA256 == "" || was.Bytes != e.Bytes || was.Modified != e.Modified {
		return false
	}
	info, err := os.Lstat(local(s.dir, e.Path))
	if err != nil || !info.Mode().IsRegular() || info.Size() != e.Bytes || info.ModTime().UnixMilli() != e.Modified {
		return false
	}
	e.SHA256 = was.SHA256
	return true
}

// file copies one file under another name first, so that one of a final name is whole.
func (s *saver) file(e *Entry) (err error) {
	in, err := s.from.Open(path.Join(s.root, e.Path))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	at := local(s.dir, e.Path)
	out, err := os.CreateTemp(filepath.Dir(at), temporary+"*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(out.Name()) }() // after the rename there is none
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(out, sum), in)
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("%s: %w", e.Path, err)
	}
	if n != e.Bytes {
		return fmt.Errorf("%s has %d bytes, and %d could be read: a program is still writing it; try again", e.Path, e.Bytes, n)
	}
	e.SHA256 = hex.EncodeToString(sum.Sum(nil))
	when := time.UnixMilli(e.Modified)
	if err := os.Chtimes(out.Name(), when, when); err != nil {
		return err
	}
	if info, err := os.Lstat(at); err == nil && info.IsDir() { // what was a folder before
		if err := os.RemoveAll(at); err != nil {
			return err
		}
	}
	return os.Rename(out.Name(), at)
}

// tidy deletes from the mirror what the source does not have.
func (s *saver) tidy() (err error) {
	wanted := map[string]bool{mark: true}
	for _, e := range s.entries {
		wanted[e.Path] = true
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	return fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || wanted[name] {
			return err
		}
		if err := root.RemoveAll(name); err != nil {
			return err
		}
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
}
