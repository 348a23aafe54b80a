package fsys

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// Where the file system has no rename that refuses to overwrite, links and empty folders do the same.
func TestLinkNew(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"one", "two"} {
		if err := errors.Join(os.WriteFile(at(name), []byte(name), 0o600), os.MkdirAll(at("d"+name+"/x"), 0o750)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(linkNew(at("one"), at("new")), linkNew(at("done"), at("dnew"))); err != nil {
		t.Fatal(err)
	}
	for _, pair := range [][2]string{{"two", "new"}, {"dtwo", "dnew"}} {
		if err := linkNew(at(pair[0]), at(pair[1])); !errors.Is(err, fs.ErrExist) {
			t.Errorf("linkNew(%s, %s) = %v, want fs.ErrExist", pair[0], pair[1], err)
		}
	}
	if data, err := os.ReadFile(at("new")); string(data) != "one" {
		t.Errorf("the first file is %q, %v", data, err)
	}
	if err := linkNew(at("nonesuch"), at("x")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("linkNew of a missing file = %v", err)
	}
}
