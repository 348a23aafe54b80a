// Package source reads the files that a dataset is collected from.
//
// A window's files are pinned by length and digest before the first byte is read. Between slices their versions are compared,
// which costs one stat each. Bytes come decompressed, as a stream: a file that unpacks to more than it should costs time, not memory.
package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// Bounds of what one file may unpack to, unless Files says others.
const (
	DefaultMaxBytes = 1 << 40
	DefaultMaxRatio = 1000
)

// Files reads files of the local file system. Its zero value has the default bounds.
type Files struct {
	// MaxBytes is how much one file may unpack to.
	MaxBytes int64
	// MaxRatio is how many times larger than the file its unpacked bytes may be, beyond the first 64 MiB.
	MaxRatio int64
}

// Versions lists the files of a window, sorted, with length and version but without digests. It reads none of them.
//
// A missing file, or a pattern that no file matches, is fs.ErrNotExist.
func (f *Files) Versions(ctx context.Context, d *dataset.Dataset, w window.Window) (events.Pin, error) {
	paths, err := find(d, w)
	if err != nil {
		return events.Pin{}, err
	}
	var pin events.Pin
	for _, path := range paths {
		if err := ctx.Err(); err != nil {
			return events.Pin{}, err
		}
		info, err := os.Stat(path)
		if err != nil {
			return events.Pin{}, explain(path, d, w, err)
		}
		if err := regular(path, info); err != nil {
			return events.Pin{}, err
		}
		pin.Files = append(pin.Files, events.PinnedFile{URI: uri(d, path), Bytes: info.Size(), Version: version(info)})
	}
	return pin, nil
}

// Pin is Versions with the digest of each file. Two files of the same content are an error that wraps events.ErrInvalid and names
// both: the rows would count twice. Empty files are let pass.
func (f *Files) Pin(ctx context.Context, d *dataset.Dataset, w window.Window) (events.Pin, error) {
	pin, err := f.Versions(ctx, d, w)
	if err != nil {
		return events.Pin{}, err
	}
	seen := map[string]string{}
	for i := range pin.Files {
		file := &pin.Files[i]
		path := resolve(d, file.URI)
		if file.Digest, err = digest(ctx, path, *file); err != nil {
			return events.Pin{}, explain(path, d, w, err)
		}
		if other, ok := seen[file.Digest]; ok && file.Bytes > 0 {
			return events.Pin{}, fmt.Errorf("pin window %s of %s: %w: %s and %s have the same content, so their rows would count twice: remove one of them",
				w, d.Name, events.ErrInvalid, other, path)
		}
		seen[file.Digest] = path
	}
	return pin, nil
}

// digest is the SHA-256 of the bytes of a file, which must still be of the pinned version after it was read.
func digest(ctx context.Context, path string, pinned events.PinnedFile) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	h := sha256.New()
	buf, _ := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	if _, err := io.CopyBuffer(h, struct{ io.Reader }{&input{ctx: ctx, r: file}}, *buf); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if version(info) != pinned.Version {
		return "", fmt.Errorf("pin %s: the file changes while it is read: write it under another name and rename it when it is whole", path)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// version changes when the content may have changed: length, time of the last change in ns, and inode.
func version(info fs.FileInfo) string {
	var inode uint64
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		inode = stat.Ino
	}
	return fmt.Sprintf("%d-%d-%d", info.Size(), info.ModTime().UnixNano(), inode)
}

func regular(path string, info fs.FileInfo) error {
	switch {
	case info.Mode().IsRegular():
		return nil
	case info.IsDir():
		return fmt.Errorf("read %s: %w: it is a directory: let collect.source.path name the files in it, for example %s/*.csv", path, events.ErrInvalid, path)
	default:
		return fmt.Errorf("read %s: %w: it is not a regular file (%s)", path, events.ErrInvalid, info.Mode().Type())
	}
}

// explain says what to do about a file that cannot be read.
func explain(path string, d *dataset.Dataset, w window.Window, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("find %s for window %s of %s: %w: put the file there, or correct collect.source.path (%s) in pipeline.yaml",
			path, w, d.Name, fs.ErrNotExist, d.Collect.Path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("read %s for window %s of %s: %w: let the user that runs collect read it", path, w, d.Name, fs.ErrPermission)
	default:
		return err
	}
}
