// Package sweep removes what writers that died have left in a warehouse: files and folders in the making, and metadata of commits that
// never came to be. It looks where such can lie (see fsys.Temporary): in folders up to two levels deep, in the staging folders and in the
// tables' metadata, and never into the folders of the windows.
package sweep

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/almanac-data/almanac/functions/internal/lake/fsys"
	"github.com/almanac-data/almanac/functions/internal/table"
)

// Tables knows what the tables' metadata name.
type Tables interface {
	// Unclaimed returns those of the manifests and manifest lists that no kept snapshot names, nor ever will. When says the time of the sweep.
	Unclaimed(ctx context.Context, name table.Name, files []string, when string) ([]string, error)
}

// sweeper is one sweep.
type sweeper struct {
	fs      fsys.FS
	tables  Tables
	now     time.Time
	older   time.Duration
	removed []table.Removed
}

// Run removes what was last changed longer ago than older says. Writers may be at work: one whose file is gone gets an error, and does
// its work again. What cannot be removed is told at the end, and does not keep the rest.
//
// Ages are differences between times that the file system gave out: this machine's clock may be another's.
func Run(ctx context.Context, on fsys.FS, tables Tables, older time.Duration) ([]table.Removed, error) {
	now, err := clock(on)
	if err != nil {
		return nil, fmt.Errorf("ask the warehouse for its time: %w", err)
	}
	s := &sweeper{fs: on, tables: tables, now: now, older: older}
	err = s.folder(ctx, ".", 0)
	return s.removed, err
}

// clock is the time by the file system's clock.
func clock(on fsys.FS) (time.Time, error) {
	name := fsys.Temporary(".")
	if err := on.MkdirAll(name); err != nil {
		return time.Time{}, err
	}
	info, err := on.Stat(name)
	if err = errors.Join(err, on.Remove(name)); err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

// folder sweeps a folder of the warehouse, that many levels deep, and those in it that can hold something.
func (s *sweeper) folder(ctx context.Context, dir string, depth int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := s.fs.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sweep %s: %w", dir, err)
	}
	var all []error
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		switch {
		case fsys.IsTemporary(name):
			all = append(all, s.abandoned(name, e))
		case !e.IsDir():
		case e.Name() == fsys.Staging:
			all = append(all, s.folder(ctx, name, depth+2)) // files, and nothing below; former writers had one in each dataset
		case depth < 2:
			all = append(all, s.folder(ctx, name, depth+1))
		case depth == 2 && e.Name() == "metadata":
			all = append(all, s.metadata(ctx, name))
		}
	}
	return errors.Join(all...)
}

// abandoned removes a temporary file or folder, if it is old.
func (s *sweeper) abandoned(name string, e fs.DirEntry) error {
	r, err := s.measure(name, e)
	if err == nil && s.old(r.Modified) {
		err = s.remove(r, e.IsDir())
	}
	if errors.Is(err, fs.ErrNotExist) { // published, or thrown away, meanwhile
		return nil
	}
	return err
}

func (s *sweeper) old(modified time.Time) bool { return !modified.After(s.now.Add(-s.older)) }

// measure sums the bytes of a file or folder, and finds the newest time in it.
func (s *sweeper) measure(name string, e fs.DirEntry) (table.Removed, error) {
	info, err := e.Info()
	if err != nil {
		return table.Removed{}, err
	}
	sum := table.Removed{Path: name, Modified: info.ModTime().UTC()}
	if !e.IsDir() {
		sum.Bytes = info.Size()
		return sum, nil
	}
	entries, err := s.fs.ReadDir(name)
	if err != nil {
		return sum, err
	}
	for _, e := range entries {
		part, err := s.measure(path.Join(name, e.Name()), e)
		if err != nil {
			return sum, err
		}
		sum.Bytes += part.Bytes
		if part.Modified.After(sum.Modified) {
			sum.Modified = part.Modified
		}
	}
	return sum, nil
}

// remove deletes a file, or a folder at once with all that it holds: it is renamed first, as not every file system deletes so.
func (s *sweeper) remove(r table.Removed, folder bool) error {
	name, remove := r.Path, s.fs.Remove
	if folder {
		name, remove = path.Join(path.Dir(r.Path), path.Base(fsys.Temporary("."))), s.fs.RemoveAll
		if err := s.fs.RenameNew(r.Path, name); err != nil {
			return err
		}
	}
	if err := remove(name); err != nil {
		return err
	}
	s.removed = append(s.removed, r)
	return nil
}

// metadata sweeps the metadata of a table: what is in the making, and what commits left that did not come to be.
func (s *sweeper) metadata(ctx context.Context, dir string) error {
	entries, err := s.fs.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("sweep %s: %w", dir, err)
	}
	var all []error
	old := map[string]table.Removed{}
	var names []string
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if fsys.IsTemporary(name) {
			all = append(all, s.abandoned(name, e))
			continue
		}
		if e.IsDir() || path.Ext(name) != ".avro" {
			continue
		}
		r, err := s.measure(name, e)
		if err == nil && s.old(r.Modified) {
			old[name], names = r, append(names, name)
		}
	}
	parts := strings.Split(dir, "/")
	if len(names) > 0 {
		unclaimed, err := s.tables.Unclaimed(ctx, table.Name{Dataset: parts[0], Table: parts[1]}, names, s.now.UTC().Format(time.RFC3339))
		all = append(all, err)
		for _, name := range unclaimed {
			if err := s.remove(old[name], false); !errors.Is(err, fs.ErrNotExist) {
				all = append(all, err)
			}
		}
	}
	if err := errors.Join(all...); err != nil {
		return fmt.Errorf("sweep %s: %w", dir, err)
	}
	return nil
}
