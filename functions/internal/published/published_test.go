package published_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/almanac-data/almanac/functions/internal/lake"
	"github.com/almanac-data/almanac/functions/internal/published"
	"github.com/almanac-data/almanac/functions/internal/published/publishedtest"
)

var _ published.Warehouse = (*lake.Lake)(nil)

func open(tb testing.TB, dir string) published.Warehouse {
	tb.Helper()
	l, err := lake.Open(tb.Context(), dir)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func TestConformance(t *testing.T) { publishedtest.Run(t, open) }

func TestTheVersionIsThatOfTheContentAlone(t *testing.T) {
	version := func(dataset string, files map[string]string) string {
		m, err := published.Describe(publishedtest.Folder(t, dataset, files), publishedtest.Most)
		if err != nil {
			t.Fatal(err)
		}
		return m.Version()
	}
	was := version("flights", map[string]string{"a": "1", "b/c": "2"})
	// The golden value: another would make every dataset that was ever published seem changed.
	if want := "8c4fcc88644df74ac0cf97e5aea499e9ee915bf01d181f7c592a9b12e9a2d05d"; was != want {
		t.Errorf("the version is %s, want %s", was, want)
	}
	for name, files := range map[string]map[string]string{
		"a byte":        {"a": "1", "b/c": "3"},
		"a name":        {"a": "1", "b/d": "2"},
		"a folder":      {"a": "1", "c": "2"},
		"a file more":   {"a": "1", "b/c": "2", "d": ""},
		"a file less":   {"a": "1"},
		"swapped texts": {"a": "2", "b/c": "1"},
	} {
		if version("flights", files) == was {
			t.Errorf("%s does not change the version", name)
		}
	}
	if version("births", map[string]string{"a": "1", "b/c": "2"}) == was {
		t.Error("the name of the dataset does not change the version")
	}
	if again := version("flights", map[string]string{"a": "1", "b/c": "2", ".hidden": "3"}); again != was {
		t.Errorf("the version is %s and %s", was, again)
	}
}

func TestAFolderThatCannotBePublishedSaysWhatToDo(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(dir string) error
		want  string
	}{
		"a symbolic link": {func(dir string) error { return os.Symlink("/etc", filepath.Join(dir, "sample")) }, "flights/sample is not a regular file"},
		"a colon":         {func(dir string) error { return os.WriteFile(filepath.Join(dir, "10:00.csv"), nil, 0o600) }, `flights/"10:00.csv" cannot be a name`},
		"too many bytes": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "large.csv"), make([]byte, 101), 0o600)
		}, "101 of them in flights/large.csv"},
	} {
		dir := publishedtest.Folder(t, "flights", map[string]string{"a": "1"})
		if err := test.spoil(dir); err != nil {
			t.Fatal(err)
		}
		for _, describe := range []func() error{
			func() error { _, err := published.Describe(dir, 100); return err },
			func() error { _, err := published.Copy(dir, filepath.Join(t.TempDir(), "copy"), 100); return err },
		} {
			if err := describe(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: %v, want %s", name, err, test.want)
			}
		}
	}
}

func TestCopyIsTheFolder(t *testing.T) {
	dir, to := publishedtest.Folder(t, "flights", map[string]string{"a": "1", "b/c": "2", ".d": "3"}), filepath.Join(t.TempDir(), "flights")
	m, err := published.Copy(dir, to, publishedtest.Most)
	if err != nil {
		t.Fatal(err)
	}
	again, err := published.Describe(to, publishedtest.Most)
	if err != nil || again.Version() != m.Version() || len(m.Files) != 2 {
		t.Errorf("Describe(copy) = %+v, %v, want %+v", again, err, m)
	}
}

func TestSince(t *testing.T) {
	of := func(files map[string]string) published.Manifest {
		m, err := published.Describe(publishedtest.Folder(t, "flights", files), publishedtest.Most)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	c := of(map[string]string{"a": "1", "b": "3", "d": "4"}).Since(of(map[string]string{"a": "1", "b": "2", "c": "3"}))
	if got := strings.Join(c.Added, " ") + "|" + strings.Join(c.Changed, " ") + "|" + strings.Join(c.Removed, " "); got != "d|b|c" {
		t.Errorf("Since = %s, want d|b|c", got)
	}
}
