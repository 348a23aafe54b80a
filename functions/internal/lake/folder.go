package lake

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/almanac-data/almanac/functions/internal/lake/fsys"
)

// intact is a folder in each temporary folder. It tells Publish that the folder is the one that MkTemp made: when that was swept, a file
// written later makes another of that name, which lacks what was written before.
const intact = ".intact"

// MkTemp makes a folder under a name that no List shows, to be filled and then published.
func (l *Lake) MkTemp(ctx context.Context, parent string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	clean, err := fsys.Clean(parent)
	if err != nil {
		return "", fmt.Errorf("make temporary folder: %w", err)
	}
	temp := fsys.Temporary(clean)
	if err := l.fs.MkdirAll(path.Join(temp, intact)); err != nil {
		return "", fmt.Errorf("make temporary folder: %w", err)
	}
	return temp, nil
}

// Publish renames a folder that MkTemp made, atomically, without what is temporary in it: nobody writes to it by then. It cannot
// overwrite: if the final name is taken the error wraps fs.ErrExist, and of several at once exactly one wins.
func (l *Lake) Publish(ctx context.Context, temp, final string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	from, err := fsys.Clean(temp)
	if err != nil {
		return fmt.Errorf("publish folder: %w", err)
	}
	to, err := fsys.Clean(final)
	if err != nil {
		return fmt.Errorf("publish folder: %w", err)
	}
	if err := l.fs.MkdirAll(path.Dir(to)); err != nil {
		return fmt.Errorf("publish folder: %w", err)
	}
	if err = l.tidy(from); err == nil {
		err = l.whole(from)
	}
	if err == nil {
		err = l.fs.SyncDir(from)
	}
	if err == nil {
		err = l.fs.RenameNew(from, to)
	}
	if err == nil {
		err = l.fs.SyncDir(path.Dir(to))
	}
	if err != nil {
		return fmt.Errorf("publish folder: %w", err)
	}
	return nil
}

// tidy removes what is temporary from a folder that is to be published: files whose making was tried again under another name, since the answer to
// the first attempt was lost.
func (l *Lake) tidy(dir string) error {
	found, err := l.fs.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return swept(dir, err)
	}
	for _, e := range found {
		name := path.Join(dir, e.Name())
		switch {
		case err != nil:
			return err
		case fsys.IsTemporary(name):
			err = l.fs.RemoveAll(name)
		case e.IsDir() && e.Name() != intact:
			err = l.tidy(name)
		}
	}
	return err
}

// whole sees that a temporary folder is the one that MkTemp made, and takes the mark away. A sweep takes the folder at once with all
// that it holds: so it is whole, or has no mark, or is gone when it is renamed.
func (l *Lake) whole(temp string) error {
	mark := path.Join(temp, intact)
	_, err := l.fs.Stat(mark) // Remove alone cannot tell what is gone from an answer that was lost
	if err == nil {
		err = l.fs.Remove(mark)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return swept(temp, err)
	}
	return err
}

// Discard deletes a temporary folder with all that it holds.
func (l *Lake) Discard(ctx context.Context, temp string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	clean, err := fsys.Clean(temp)
	if err == nil && !fsys.IsTemporary(clean) {
		err = fmt.Errorf("%q is not a temporary folder", temp)
	}
	if err == nil {
		err = l.fs.RemoveAll(clean)
	}
	if err != nil {
		return fmt.Errorf("discard folder: %w", err)
	}
	return nil
}

// Entry is a name in a folder.
type Entry struct {
	Name  string
	Dir   bool
	Bytes int64
}

// List lists a folder, sorted by name, without what is not published yet. The error wraps fs.ErrNotExist if there is no such folder.
func (l *Lake) List(ctx context.Context, dir string) ([]Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	clean, err := fsys.Clean(dir)
	if err != nil {
		return nil, fmt.Errorf("list folder: %w", err)
	}
	found, err := l.fs.ReadDir(clean)
	if err != nil {
		return nil, fmt.Errorf("list folder: %w", err)
	}
	entries := make([]Entry, 0, len(found))
	for _, e := range found {
		if fsys.IsHidden(e.Name()) {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // deleted in between
		}
		entries = append(entries, Entry{Name: e.Name(), Dir: e.IsDir(), Bytes: info.Size()})
	}
	return entries, nil
}
