// Package disk looks at the room that is left on one.
package disk

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// leastFree is what a run wants on the disk. With less, writes fail half way and are only tried again and again.
const leastFree = 16 << 20

// Free is what is left on the disk of a folder, or of the nearest one above it that exists.
func Free(dir string) (free uint64, at string, err error) {
	if at, err = filepath.Abs(dir); err != nil {
		return 0, dir, err
	}
	for ; at != filepath.Dir(at); at = filepath.Dir(at) {
		if _, err := os.Stat(at); err == nil {
			break
		}
	}
	var st unix.Statfs_t
	if err := unix.Statfs(at, &st); err != nil {
		return 0, at, fmt.Errorf("look at the disk of %s: %w", at, err)
	}
	return st.Bavail * uint64(st.Bsize), at, nil
}

// Check is an error when a run would soon fill the disk.
func Check(dir string) error {
	free, at, err := Free(dir)
	if err != nil {
		return err
	}
	if free < leastFree {
		return fmt.Errorf("write to %s: %w: %d KiB are left, a run wants %d MiB: make room, or choose another disk with --data; nothing is lost, the same command goes on",
			at, syscall.ENOSPC, free>>10, leastFree>>20)
	}
	return nil
}
