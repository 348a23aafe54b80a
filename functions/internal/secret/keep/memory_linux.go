package keep

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// file is an anonymous file in memory (memfd_create(2)).
type file struct{ fd int }

// newFile holds a value.
func newFile(value []byte) (*file, error) {
	fd, err := memory(value)
	return &file{fd}, err
}

func memory(value []byte) (int, error) {
	fd, err := unix.MemfdCreate("almanac-secret", unix.MFD_CLOEXEC)
	if err != nil {
		return 0, os.NewSyscallError("memfd_create", err)
	}
	err = unix.Fchmod(fd, 0o600)
	for at := 0; err == nil && at < len(value); {
		var n int
		n, err = unix.Pwrite(fd, value[at:], int64(at))
		at += n
	}
	if err != nil {
		_ = unix.Close(fd) // writing it has failed
		return 0, os.NewSyscallError("write", err)
	}
	return fd, nil
}

// path opens the file anew wherever it is opened.
func (f *file) path() string { return fmt.Sprintf("/proc/self/fd/%d", f.fd) }

// replace puts another file in its place, at once: who has opened the one before reads it to its end.
func (f *file) replace(value []byte) error {
	next, err := memory(value)
	if err != nil {
		return err
	}
	err = unix.Dup3(next, f.fd, unix.O_CLOEXEC)
	return os.NewSyscallError("dup3", firstOf(err, unix.Close(next)))
}

func (f *file) close() error { return os.NewSyscallError("close", unix.Close(f.fd)) }

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
