package lake

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSweepDeletesWhatIsUnpublished(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.WriteFile(t.Context(), "a/b/kept", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Create(t.Context(), "a/b", "", ".parquet"); err != nil { // and its writer is killed
		t.Fatal(err)
	}
	if temp, err := l.MkTemp(t.Context(), "releases/a"); err != nil {
		t.Fatal(err)
	} else if err := l.WriteFile(t.Context(), temp+"/data/1.parquet", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := l.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	for pattern, want := range map[string]int{"a/b/*": 1, "releases/a/*": 0, "a/b/kept": 1, "a/b/.*": 0, "releases/a/.*": 0} {
		if found, err := filepath.Glob(filepath.Join(dir, pattern)); err != nil || len(found) != want {
			t.Errorf("%s: %v, %v; want %d", pattern, found, err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "releases", "a")); err != nil {
		t.Error(err)
	}
}
