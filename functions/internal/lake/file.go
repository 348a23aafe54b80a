package lake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/lake/fsys"
)

// File is a file in the making. It gets its name, which holds the digest of its bytes, when it is finished.
type File struct {
	fs     fsys.FS
	dir    string
	prefix string
	ext    string
	temp   string
	w      fsys.Writer
	hash   hash.Hash
	bytes  int64
	rows   int64
}

// Create starts a file <dir>/<prefix><digest><ext>. The caller ends it by Finish or Abort.
func (l *Lake) Create(ctx context.Context, dir, prefix, ext string) (*File, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if strings.ContainsAny(prefix+ext, "/\\\x00") {
		return nil, fmt.Errorf("create file in %s: prefix %q and ending %q must not hold a slash: %w", dir, prefix, ext, fs.ErrInvalid)
	}
	clean, err := fsys.Clean(dir)
	if err != nil {
		return nil, fmt.Errorf("create file: %w", err)
	}
	temp := fsys.Temporary(clean)
	w, err := l.fs.Create(temp)
	if err != nil {
		return nil, fmt.Errorf("create file: %w", err)
	}
	return &File{fs: l.fs, dir: clean, prefix: prefix, ext: ext, temp: temp, w: w, hash: sha256.New()}, nil
}

// Write adds bytes.
func (f *File) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	f.hash.Write(p[:n])
	f.bytes += int64(n)
	return n, err
}

// AddRows counts rows, for what Finish returns.
func (f *File) AddRows(n int64) { f.rows += n }

// Finish makes the bytes durable (their name is not yet: who builds on the file syncs that) and gives the file its name.
// A file of the same content that is there already is replaced by its equal.
func (f *File) Finish() (events.File, error) {
	err := f.w.Sync()
	if err = errors.Join(err, f.w.Close()); err != nil {
		return events.File{}, errors.Join(fmt.Errorf("finish file: %w", err), discard(f.fs, f.temp))
	}
	digest := hex.EncodeToString(f.hash.Sum(nil))
	name := path.Join(f.dir, f.prefix+digest+f.ext)
	if err := move(f.fs, f.temp, name); err != nil {
		return events.File{}, errors.Join(fmt.Errorf("finish file: %w", err), discard(f.fs, f.temp))
	}
	return events.File{Path: name, Bytes: f.bytes, Rows: f.rows, Digest: digest}, nil
}

// Abort throws the file away. After Finish it does nothing, so that it can be deferred.
func (f *File) Abort() error {
	err := f.w.Close()
	if errors.Is(err, fs.ErrClosed) {
		return nil
	}
	if err := discard(f.fs, f.temp); err != nil {
		return fmt.Errorf("abort file: %w", err)
	}
	return nil
}

// move renames a temporary file over whatever file has the name, and makes the folder for it if there is none.
func move(on fsys.FS, temp, name string) error {
	err := on.Rename(temp, name)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := on.MkdirAll(path.Dir(name)); err != nil {
		return err
	}
	if err = on.Rename(temp, name); errors.Is(err, fs.ErrNotExist) {
		return swept(temp, err)
	}
	return err
}

// swept explains that something that was being made is gone.
func swept(temp string, err error) error {
	return fmt.Errorf("%s is gone while it was being made, as a sweep takes it that was begun longer than ALMANAC_ABANDONED ago; to try again makes it anew: %w", temp, err)
}

// discard deletes a temporary file, if it is there.
func discard(on fsys.FS, temp string) error {
	if err := on.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// OpenFile opens a file for reading. The caller closes it.
func (l *Lake) OpenFile(ctx context.Context, name string) (fsys.Reader, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	clean, err := fsys.Clean(name)
	if err != nil {
		return nil, fmt.Errorf("open file: %w", err)
	}
	r, err := l.fs.Open(clean)
	if err != nil {
		return nil, fmt.Errorf("open file: %w", err)
	}
	return r, nil
}

// ReadFile reads a whole file.
func (l *Lake) ReadFile(ctx context.Context, name string) (_ []byte, err error) {
	r, err := l.OpenFile(ctx, name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return data, nil
}

// WriteFile makes a file of the bytes, or replaces it: a reader sees the old bytes or the new, whole.
func (l *Lake) WriteFile(ctx context.Context, name string, data []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	clean, err := fsys.Clean(name)
	if err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	temp := fsys.Temporary(path.Dir(clean))
	if err = fsys.WriteFile(l.fs, temp, data); err == nil {
		err = move(l.fs, temp, clean)
	}
	if err == nil {
		err = l.fs.SyncDir(path.Dir(clean))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", clean, err), discard(l.fs, temp))
	}
	return nil
}

// WriteNew makes a file of the bytes under a name that must be free: if it is taken the error wraps fs.ErrExist, and of several at once exactly
// one wins. A reader sees no file, or the whole.
func (l *Lake) WriteNew(ctx context.Context, name string, data []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	clean, err := fsys.Clean(name)
	if err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	dir := path.Dir(clean)
	temp := fsys.Temporary(dir)
	if err = fsys.WriteFile(l.fs, temp, data); err == nil {
		err = l.fs.MkdirAll(dir)
	}
	if err == nil {
		err = l.fs.RenameNew(temp, clean)
	}
	if err == nil {
		err = l.fs.SyncDir(dir)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", clean, err), discard(l.fs, temp))
	}
	return nil
}
