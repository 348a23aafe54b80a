package native

import (
	"errors"
	"io/fs"
	"syscall"
	"testing"

	"github.com/almanac-data/almanac/functions/internal/hdfs/remote"
)

func TestAListedFileIsNoFolderAndIsNotTriedAgain(t *testing.T) {
	err := translate(&fs.PathError{Op: "readdir", Path: "/x", Err: errors.New("the file is not a directory")})
	answered, ok := errors.AsType[*remote.Error](err)
	if !ok || answered.Passing() || !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("translate = %v, want an answer that stands for ENOTDIR", err)
	}
}
