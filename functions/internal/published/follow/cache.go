package follow

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

const (
	prefix   = "almanac-datasets-"
	lockName = "lock"
)

// cache is a folder that one process holds while it lives.
type cache struct {
	dir  string
	lock *os.File
}

// openCache makes a folder in parent, the system's folder of temporary files if that is empty, and removes those of processes that were killed.
func openCache(parent string) (*cache, error) {
	if parent == "" {
		parent = os.TempDir()
	}
	sweep(parent)
	dir, err := os.MkdirTemp(parent, prefix)
	if err != nil {
		return nil, fmt.Errorf("make a folder for published datasets: %w: let ALMANAC_DATASETS_CACHE name a folder that can be written", err)
	}
	// It gets its name when it is locked, so that whoever finds it unlocked finds a process that has died.
	lock, err := take(filepath.Join(dir, lockName+".new"), os.O_CREATE|os.O_RDWR)
	if err == nil {
		err = os.Rename(lock.Name(), filepath.Join(dir, lockName))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock the folder for published datasets: %w", err), os.RemoveAll(dir))
	}
	return &cache{dir: dir, lock: lock}, nil
}

// take opens a file and locks it; the lock ends with the process.
func take(name string, flag int) (*os.File, error) {
	f, err := os.OpenFile(name, flag|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// sweep removes folders whose process has died. What belongs to others, or cannot be removed, is left alone. One that has no lock yet is just
// being made.
func sweep(parent string) {
	found, _ := filepath.Glob(filepath.Join(escape(parent), prefix+"*"))
	for _, dir := range found {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || !own(info) {
			continue
		}
		lock, err := take(filepath.Join(dir, lockName), os.O_RDWR)
		if err != nil {
			continue
		}
		_ = os.RemoveAll(dir) // tried again at the next start
		_ = lock.Close()
	}
}

func own(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Getuid()
}

// escape makes a path a pattern that matches it alone.
func escape(path string) string {
	var out []rune
	for _, r := range path {
		switch r {
		case '*', '?', '[', '\\':
			out = append(out, '\\')
		}
		out = append(out, r)
	}
	return string(out)
}

// close removes the folder.
func (c *cache) close() error {
	return errors.Join(os.RemoveAll(c.dir), c.lock.Close())
}
