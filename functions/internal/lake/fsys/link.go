package fsys

import (
	"os"
	"syscall"
)

// linkNew publishes a file by a hard link, which cannot overwrite. A folder is renamed over a folder made for it:
// making one is exclusive, and a rename replaces an empty folder only.
func linkNew(old, name string) error {
	info, err := os.Stat(old)
	if err != nil {
		return err
	}
	if info.IsDir() {
		if err := os.Mkdir(name, 0o750); err != nil {
			return err
		}
		return syscall.Rename(old, name) // os.Rename refuses every folder
	}
	if err := os.Link(old, name); err != nil {
		return err
	}
	// Published; what is left of the old name is harmless.
	_ = os.Remove(old)
	return nil
}

var _ FS = (*Local)(nil)
