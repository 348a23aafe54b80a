package fsys_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/almanac-data/almanac/functions/internal/lake/fsys"
)

func TestClean(t *testing.T) {
	for name, want := range map[string]string{
		"a": "a", "a/b": "a/b", "a//b/": "a/b", "./a": "a", "a/./b": "a/b", "a/../b": "b", ".": ".",
		"": "", "/": "", "/a": "", "..": "", "../a": "", "a/../..": "", "a\\b": "", "a\x00": "",
	} {
		got, err := fsys.Clean(name)
		if got != want || (want == "") != errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Clean(%q) = %q, %v, want %q", name, got, err, want)
		}
	}
}

func TestWarehousePathsThatIcebergCannotName(t *testing.T) {
	for _, dir := range []string{"/", "/tmp/a b", "/tmp/100%", "/tmp/a?b", "/tmp/a#b"} {
		if _, err := fsys.OpenLocal(dir); err == nil || !strings.Contains(err.Error(), "choose another folder") {
			t.Errorf("OpenLocal(%q) = %v, want an error that says what to do", dir, err)
		}
	}
}

func TestOneOfManyRenamesWins(t *testing.T) {
	l, err := fsys.OpenLocal(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"file", "folder"} {
		var won atomic.Int64
		var all sync.WaitGroup
		for i := range 16 {
			old := filepath.Join(kind, "old", string(rune('a'+i)))
			if kind == "file" {
				err = fsys.WriteFile(l, old, []byte{byte(i)})
			} else {
				err = fsys.WriteFile(l, old+"/x", []byte{byte(i)})
			}
			if err != nil {
				t.Fatal(err)
			}
			all.Go(func() {
				switch err := l.RenameNew(old, kind+"/new"); {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, fs.ErrExist):
					t.Errorf("RenameNew = %v, want fs.ErrExist", err)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 {
			t.Errorf("%d renames of a %s won", won.Load(), kind)
		}
	}
	if err := l.RenameNew("nonesuch", "x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("RenameNew of a missing file = %v", err)
	}
}

func TestReadAndWrite(t *testing.T) {
	dir := t.TempDir()
	l, err := fsys.OpenLocal(filepath.Join(dir, "made", "here"))
	if err != nil {
		t.Fatal(err)
	}
	if err := fsys.WriteFile(l, "a/b/c", []byte("text")); err != nil {
		t.Fatal(err)
	}
	if data, err := fsys.ReadFile(l, "a/b/c"); string(data) != "text" || err != nil {
		t.Errorf("ReadFile = %q, %v", data, err)
	}
	if _, err := fsys.ReadFile(l, "a/x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadFile of a missing file = %v", err)
	}
	if data, err := os.ReadFile(l.URI("a/b/c")); string(data) != "text" || err != nil {
		t.Errorf("at its URI lies %q, %v", data, err)
	}
	if err := errors.Join(l.SyncDir("a"), l.RemoveAll("a")); err != nil {
		t.Error(err)
	}
	if _, err := l.Stat("a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat of what is removed = %v", err)
	}
}
