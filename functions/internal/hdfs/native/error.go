package native

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"

	"github.com/colinmarc/hdfs/v2"

	"github.com/almanac-data/almanac/functions/internal/hdfs/remote"
)

// translate makes a remote.Error of what the library makes of an exception. Errors of the network stay what they are.
func translate(err error) error {
	var exception hdfs.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exception):
		return remote.NewError(exception.Exception(), exception.Message())
	case strings.HasSuffix(err.Error(), "the file is not a directory"): // what the library says when a file is listed
		return remote.NewError("ParentNotDirectoryException", err.Error())
	case strings.Contains(err.Error(), "no available namenodes"):
		// All are in standby, or none can be reached: no request was answered otherwise.
		return &remote.UnsentError{Err: err}
	}
	// The library drops the exceptions that it knows, with their messages.
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		for class, known := range map[string]error{
			"FileNotFoundException":            fs.ErrNotExist,
			"FileAlreadyExistsException":       fs.ErrExist,
			"AccessControlException":           fs.ErrPermission,
			"PathIsNotEmptyDirectoryException": syscall.ENOTEMPTY,
			"IllegalArgumentException":         fs.ErrInvalid,
		} {
			if path.Err == known { //nolint:errorlint // the library puts these very values there; a closed connection is not one
				return remote.NewError(class, path.Path)
			}
		}
	}
	return err
}
