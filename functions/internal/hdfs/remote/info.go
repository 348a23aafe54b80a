// Package remote is what both ways to HDFS, its RPC and WebHDFS, have in common: how a NameNode describes a name, what it throws,
// and what an open file is.
package remote

import (
	"io"
	"io/fs"
	"time"
)

// Info describes a file or folder. It is an fs.FileInfo and an fs.DirEntry.
type Info struct {
	Path     string // last element only
	Bytes    int64
	Folder   bool
	Perm     fs.FileMode
	Modified time.Time
	// ID is the number of the inode. A rename keeps it, and it is never given out again: so it tells whether what lies at a
	// name now is what lay at another before (HDFS-4339).
	ID uint64
}

var (
	_ fs.FileInfo = Info{}
	_ fs.DirEntry = Info{}
)

// Name is the last element of the path.
func (i Info) Name() string { return i.Path }

// Size is the length in bytes. Of a file that is being written the last block does not count.
func (i Info) Size() int64 { return i.Bytes }

// Mode is the permissions and, of a folder, fs.ModeDir.
func (i Info) Mode() fs.FileMode {
	if i.Folder {
		return i.Perm | fs.ModeDir
	}
	return i.Perm
}

// ModTime is when the file was closed last, by the NameNode's clock.
func (i Info) ModTime() time.Time { return i.Modified }

// IsDir says whether it is a folder.
func (i Info) IsDir() bool { return i.Folder }

// Type is the kind of it without permissions.
func (i Info) Type() fs.FileMode { return i.Mode().Type() }

// Info is itself.
func (i Info) Info() (fs.FileInfo, error) { return i, nil }

// Sys is itself.
func (i Info) Sys() any { return i }

// Modes are the rights with which folders and files are made.
type Modes struct{ Folder, File fs.FileMode }

// Source is a file that is open for reading over one connection. It is not safe for concurrent use, and does not try again.
type Source interface {
	io.ReaderAt
	io.Closer
	// Info describes the file as it was when it was opened.
	Info() Info
}

// Sink is a file that is being written over one connection. It is not safe for concurrent use, and does not try again.
type Sink interface {
	io.Writer
	// Commit waits until the DataNodes have all bytes and closes the file. After an error the file may or may not be whole; the
	// caller calls Abort.
	Commit() error
	// Abort lets go of the file; what was written of it stays until somebody deletes it. After Commit it does nothing.
	Abort()
}
