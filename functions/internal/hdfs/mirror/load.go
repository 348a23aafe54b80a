package mirror

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"

	"github.com/almanac-data/almanac/functions/internal/hdfs"
)

// Target is a folder of HDFS that is written by a superuser.
type Target interface {
	Source
	Create(name string) (hdfs.Writer, error)
	MkdirAll(name string) error
	Own(name string, o hdfs.Owned) error
	RenameNew(old, name string) error
	RemoveAll(name string) error
}

// ErrNotEmpty says that a folder of HDFS holds something else than what is to be brought there.
var ErrNotEmpty = errors.New("it holds something else")

// Load makes an empty folder of HDFS what a list says, with the files of a local folder. Where it was killed it goes on. A folder that holds other files, or
// files of other bytes, is left as it is.
func Load(ctx context.Context, dir string, list List, to Target) error {
	if to.URI(".") != list.URI {
		return fmt.Errorf("restore %s: the files are those of %s, whose tables name them by that address: restore there, under the same name", to.URI("."), list.URI)
	}
	l := &loader{dir: dir, list: list, to: to, wanted: map[string]Entry{}, there: map[string]hdfs.Owned{}}
	for _, e := range list.Entries {
		l.wanted[e.Path] = e
	}
	err := l.look(".")
	if err == nil {
		err = l.compare(ctx)
	}
	if err == nil {
		err = l.write(ctx)
	}
	if err == nil {
		err = l.own(ctx)
	}
	if err != nil {
		return fmt.Errorf("restore %s: %w", to.URI("."), err)
	}
	return nil
}

type loader struct {
	dir    string
	list   List
	to     Target
	wanted map[string]Entry
	there  map[string]hdfs.Owned
	begun  []string // what a loader that was killed has left
}

// look lists what is there.
func (l *loader) look(name string) error {
	found, err := l.to.ListOwned(name)
	if err != nil {
		return err
	}
	for _, o := range found {
		at := path.Join(name, o.Path)
		want, ok := l.wanted[at]
		switch {
		case making(at):
			l.begun = append(l.begun, at)
		case !ok && o.IsDir(): // folders are made beforehand, by whoever furnishes HDFS
			if err := l.look(at); err != nil {
				return err
			}
		case !ok || want.Folder != o.IsDir() || !o.IsDir() && want.Bytes != o.Size():
			return fmt.Errorf("%s is there: %w, and nothing is changed; stop the functions, and restore into a warehouse that nobody has used", at, ErrNotEmpty)
		default:
			l.there[at] = o
			if o.IsDir() {
				if err := l.look(at); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// each does something with the entries, several at once.
func (l *loader) each(ctx context.Context, do func(e Entry) error) error {
	return each(ctx, l.list.Entries, func(i int) error { return do(l.list.Entries[i]) })
}

// compare reads the files that are there.
func (l *loader) compare(ctx context.Context) error {
	return l.each(ctx, func(e Entry) error {
		if _, ok := l.there[e.Path]; !ok || e.Folder {
			return nil
		}
		return l.same(e)
	})
}

func (l *loader) same(e Entry) (err error) {
	in, err := l.to.Open(e.Path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	sum := sha256.New()
	if _, err := io.Copy(sum, in); err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != e.SHA256 {
		return fmt.Errorf("%s is there with other bytes: %w, and nothing is changed", e.Path, ErrNotEmpty)
	}
	return nil
}

// write writes what is missing: folders first, and each file under another name until it is whole.
func (l *loader) write(ctx context.Context) error {
	for _, name := range l.begun {
		if err := l.to.RemoveAll(name); err != nil {
			return err
		}
	}
	for _, e := range l.list.Entries {
		if _, ok := l.there[e.Path]; !ok && e.Folder {
			if err := l.to.MkdirAll(e.Path); err != nil {
				return err
			}
		}
	}
	return l.each(ctx, func(e Entry) error {
		if _, ok := l.there[e.Path]; ok || e.Folder {
			return nil
		}
		return l.file(e)
	})
}

func (l *loader) file(e Entry) (err error) {
	in, err := os.Open(local(l.dir, e.Path))
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // it is only read
	aside := path.Join(path.Dir(e.Path), temporary+rand.Text())
	out, err := l.to.Create(aside)
	if err != nil {
		return err
	}
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(out, sum), in)
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != e.SHA256 {
		return fmt.Errorf("%s: %w", e.Path, ErrDiffers)
	}
	return l.to.RenameNew(aside, e.Path)
}

// own gives everything its owner, mode and list.
func (l *loader) own(ctx context.Context) error {
	return l.each(ctx, func(e Entry) error {
		is, ok := l.there[e.Path]
		if ok && is.Owner == e.Owner && is.Group == e.Group && is.Mode == e.Mode && slices.Equal(is.ACL, e.ACL) {
			return nil
		}
		return l.to.Own(e.Path, e.owned())
	})
}
