package hdfs

import (
	"errors"
	"io/fs"

	"github.com/almanac-data/almanac/functions/internal/hdfs/remote"
)

// Stat describes a name.
func (f *FS) Stat(name string) (fs.FileInfo, error) {
	info, err := f.stat("stat", name)
	if err != nil {
		return nil, err
	}
	return info, nil
}

func (f *FS) stat(op, name string) (info remote.Info, err error) {
	err = f.simply(op, name, func(t transport) error {
		info, err = t.Stat(f.at(name))
		return err
	})
	return info, err
}

// ReadDir lists a folder, sorted by name.
func (f *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	var entries []fs.DirEntry
	err := f.simply("readdir", name, func(t transport) error {
		found, err := t.List(f.at(name))
		entries = make([]fs.DirEntry, len(found))
		for i, info := range found {
			entries[i] = info
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return entries, nil
}

// MkdirAll makes a folder and those above it.
func (f *FS) MkdirAll(name string) error {
	return f.simply("mkdir", name, func(t transport) error { return t.Mkdirs(f.at(name)) })
}

// Rename moves a file atomically over whatever file stands at the new name.
func (f *FS) Rename(old, name string) error {
	return f.move(old, name, func(t transport) error { return t.Replace(f.at(old), f.at(name)) })
}

// RenameNew moves a file or folder atomically to a name that must be free. Of several at once exactly one wins, the others get
// fs.ErrExist. After an error that is neither that nor fs.ErrNotExist it may or may not have been done.
func (f *FS) RenameNew(old, name string) error {
	return f.move(old, name, func(t transport) error { return t.RenameNew(f.at(old), f.at(name)) })
}

// move renames once. When an answer is lost it looks whether the new name has the inode that the old one had: only that tells our
// rename from another's. The looking is done before the next attempt and after it, since the first request may arrive late.
func (f *FS) move(old, name string, rename func(transport) error) error {
	source, err := f.stat("rename", old)
	if err != nil {
		return err
	}
	return f.try("rename", old, func(unclear bool) error {
		return f.with(func(t transport) error {
			if !unclear {
				return rename(t)
			}
			if done, err := f.holds(t, name, source.ID); done || err != nil {
				return err
			}
			err := rename(t)
			if !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if done, lookErr := f.holds(t, name, source.ID); done || lookErr != nil {
				return lookErr
			}
			return err
		})
	})
}

// holds says whether an inode lies at the name.
func (f *FS) holds(t transport, name string, id uint64) (bool, error) {
	info, err := t.Stat(f.at(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && info.ID == id, err
}

// SyncDir does nothing: a NameNode writes its journal before it answers.
func (f *FS) SyncDir(string) error { return nil }

// Remove deletes a file or an empty folder.
func (f *FS) Remove(name string) error { return f.remove(name, false) }

// RemoveAll deletes a folder with all that it holds. That there is none is no error.
func (f *FS) RemoveAll(name string) error {
	err := f.remove(name, true)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (f *FS) remove(name string, all bool) error {
	return f.try("remove", name, func(unclear bool) error {
		err := f.with(func(t transport) error { return t.Delete(f.at(name), all) })
		if unclear && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}
