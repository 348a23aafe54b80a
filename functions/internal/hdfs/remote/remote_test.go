package remote_test

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/almanac-data/almanac/functions/internal/hdfs/remote"
)

func TestErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		err              error
		is               error
		passing, unclear bool
	}{
		"a missing file":              {remote.NewError("java.io.FileNotFoundException", "File /x does not exist"), fs.ErrNotExist, false, false},
		"a nested class":              {remote.NewError("org.apache.hadoop.hdfs.web.Outer$AccessControlException", ""), fs.ErrPermission, false, false},
		"safe mode in another one":    {remote.NewError("RetriableException", "org.apache.hadoop.hdfs.server.namenode.SafeModeException: Cannot"), nil, true, false},
		"a NameNode that starts":      {remote.NewError("org.apache.hadoop.ipc.RetriableException", "NameNode still not started"), nil, true, false},
		"a DataNode that was cut":     {remote.NewError("java.net.SocketException", "Connection reset"), nil, true, true},
		"no DataNode":                 {remote.NewError("java.io.IOException", "File /x could only be written to 0 of the 1 minReplication nodes"), nil, true, false},
		"another exception":           {remote.NewError("java.io.IOException", "bad"), nil, false, false},
		"a request that was not sent": {&remote.UnsentError{Err: errors.New("refused")}, nil, false, false},
		"a cut connection":            {errors.New("reset"), nil, false, true},
	} {
		err := fmt.Errorf("wrapped: %w", tt.err)
		var e *remote.Error
		passing := errors.As(err, &e) && e.Passing()
		if tt.is != nil && !errors.Is(err, tt.is) || passing != tt.passing || remote.Unclear(err) != tt.unclear {
			t.Errorf("%s: %v is %v: passing %v, unclear %v", name, err, tt.is, passing, remote.Unclear(err))
		}
	}
	if remote.Unclear(nil) {
		t.Error("no error is unclear")
	}
}

func TestInfoOfAFolder(t *testing.T) {
	i := remote.Info{Path: "x", Folder: true, Perm: 0o750}
	if fs.FormatFileInfo(i) != "drwxr-x--- 0 0001-01-01 00:00:00 x/" || fs.FormatDirEntry(i) != "d x/" {
		t.Errorf("%s, %s", fs.FormatFileInfo(i), fs.FormatDirEntry(i))
	}
}
