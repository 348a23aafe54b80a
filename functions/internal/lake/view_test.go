package lake

import (
	"testing"
	"testing/fstest"
)

func TestFSIsAFileSystem(t *testing.T) {
	l, err := Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"releases/a/1/manifest.json", "releases/a/1/data/x.parquet", "other/y"} {
		if err := l.WriteFile(t.Context(), name, []byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := fstest.TestFS(l.FS("releases"), "a/1/manifest.json", "a/1/data/x.parquet"); err != nil {
		t.Error(err)
	}
}
