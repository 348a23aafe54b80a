package hdfs

import (
	"errors"
	"io/fs"

	"github.com/almanac-data/almanac/functions/internal/hdfs/file"
	"github.com/almanac-data/almanac/functions/internal/hdfs/session"
)

// Stat describes a name.
func (f *FS) Stat(name string) (fs.FileInfo, error) {
	info, err := f.session.Stat("stat", f.URI(name), f.at(name))
	if err != nil {
		return nil, err
	}
	return info, nil
}

// ReadDir lists a folder, sorted by name.
func (f *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	var entries []fs.DirEntry
	err := f.session.Simply("readdir", f.URI(name), func(t session.Transport) error {
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
	return f.session.Simply("mkdir", f.URI(name), func(t session.Transport) error { return t.Mkdirs(f.at(name)) })
}

// Rename moves a file atomically over whatever file stands at the new name.
func (f *FS) Rename(old, name string) error {
	return file.Move(f.session, f.at(old), f.at(name), f.URI(old), session.Transport.Replace)
}

// RenameNew moves a file or folder atomically to a name that must be free. Of several at once exactly one wins, the others get
// fs.ErrExist. After an error that is neither that nor fs.ErrNotExist it may or may not have been done.
func (f *FS) RenameNew(old, name string) error {
	return file.Move(f.session, f.at(old), f.at(name), f.URI(old), session.Transport.RenameNew)
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
	return f.session.Try("remove", f.URI(name), func(unclear bool) error {
		err := f.session.With(func(t session.Transport) error { return t.Delete(f.at(name), all) })
		if unclear && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

// Reader reads an open file. It has the very form of what others call so, as Writer has: FS can be a port of theirs without
// importing them.
type Reader = file.Reader

// Writer writes an open file.
type Writer = file.Writer

// Open opens a file for reading. Its methods may be called at once. The caller closes it.
func (f *FS) Open(name string) (Reader, error) { return file.Open(f.session, f.at(name), f.URI(name)) }

// Create makes or truncates a file, and the folders above it. What is wrong with the name may show only with Sync or Close. The
// file is whole and durable after Sync, and takes no more bytes then. After an error nothing is left of it, if that can be had; who
// tries again does so under another name.
func (f *FS) Create(name string) (Writer, error) {
	return file.Create(f.session, f.at(name), f.URI(name)), nil
}
