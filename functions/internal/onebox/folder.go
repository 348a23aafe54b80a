package onebox

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// format is the version of the data folder that this code reads and writes.
const format = 1

// ErrHeld says that another process works in the data folder.
var ErrHeld = errors.New("data folder is in use")

// Folder is a data folder: all that an Almanac in one process keeps. One process may hold it at a time; Close lets go.
type Folder struct {
	Dir  string
	lock *os.File
}

type about struct {
	Format int    `json:"format"`
	About  string `json:"about"`
	// Dir is where the folder lies: its tables name their files by absolute paths.
	Dir string `json:"dir,omitempty"`
}

// OpenFolder opens a data folder, or makes it, and holds it until Close. The hold ends with the process, however that ends.
func OpenFolder(dir string) (*Folder, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open data folder: %w", err)
	}
	if err := stranger(dir); err != nil {
		return nil, fmt.Errorf("open data folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("open data folder: %w", err)
	}
	f := &Folder{Dir: dir}
	if err := f.hold(); err != nil {
		return nil, fmt.Errorf("open data folder %s: %w", dir, err)
	}
	if err := f.agree(); err != nil {
		_ = f.Close() // what is wrong is told
		return nil, fmt.Errorf("open data folder %s: %w", dir, err)
	}
	return f, nil
}

// Broker is where the embedded broker keeps its logs.
func (f *Folder) Broker() string { return filepath.Join(f.Dir, "broker") }

// Warehouse is where tables and releases lie.
func (f *Folder) Warehouse() string { return filepath.Join(f.Dir, "warehouse") }

// Close lets go of the folder.
func (f *Folder) Close() error { return f.lock.Close() }

// stranger refuses a folder that holds something else than an Almanac.
func stranger(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch e.Name() {
		case "almanac.json", "lock":
			return nil
		}
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s holds %s and other things that are not Almanac's: name an empty folder", dir, entries[0].Name())
	}
	return nil
}

func (f *Folder) hold() error {
	lock, err := os.OpenFile(filepath.Join(f.Dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		pid, _ := os.ReadFile(lock.Name())
		_ = lock.Close() // nothing was written
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("%w by process %s: stop it, or name another folder", ErrHeld, strings.TrimSpace(string(pid)))
		}
		return err
	}
	f.lock = lock
	if err := lock.Truncate(0); err != nil {
		return err
	}
	_, err = lock.WriteAt(fmt.Appendln(nil, os.Getpid()), 0)
	return err
}

// agree reads or writes almanac.json.
func (f *Folder) agree() error {
	name := filepath.Join(f.Dir, "almanac.json")
	data, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		if data, err = json.Marshal(about{format, "data folder of Almanac", f.Dir}); err != nil {
			return err
		}
		if err := os.WriteFile(name+".new", append(data, '\n'), 0o600); err != nil {
			return err
		}
		return os.Rename(name+".new", name)
	}
	if err != nil {
		return err
	}
	var a about
	if err := json.Unmarshal(data, &a); err != nil {
		return fmt.Errorf("almanac.json cannot be read (%w): it says {\"format\": %d} in a folder of this version", err, format)
	}
	if a.Format != format {
		return fmt.Errorf("it has format %d, this version of almanac reads format %d: use the version that made it, or name another folder", a.Format, format)
	}
	if a.Dir != "" && a.Dir != f.Dir {
		return fmt.Errorf("it was made as %s, and its tables name their files by that path: "+
			"move it back there, put a symbolic link there and name that, or name another folder", a.Dir)
	}
	return nil
}
