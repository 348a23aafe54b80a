package mirror_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/almanac-data/almanac/functions/internal/hdfs"
	"github.com/almanac-data/almanac/functions/internal/hdfs/mirror"
	"github.com/almanac-data/almanac/functions/internal/hdfs/remote"
	"github.com/almanac-data/almanac/functions/internal/hdfs/webhdfs"
)

// tree is a folder of a fake HDFS: bytes lie in a local folder, and its snapshot s1 is the folder itself.
type tree struct {
	dir string

	mu     sync.Mutex
	owned  map[string]hdfs.Owned
	opened []string
	fail   func(op, name string) error
}

func newTree(t *testing.T, files map[string]string) *tree {
	t.Helper()
	k := &tree{dir: t.TempDir(), owned: map[string]hdfs.Owned{}, fail: func(string, string) error { return nil }}
	for name, text := range files {
		if err := errors.Join(os.MkdirAll(k.at(path.Dir(name)), 0o700), os.WriteFile(k.at(name), []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

func (k *tree) at(name string) string {
	return filepath.Join(k.dir, strings.TrimPrefix(path.Clean(name), ".snapshot/s1"))
}

func (k *tree) URI(name string) string { return path.Join("/almanac", name) }

func (k *tree) Owned(name string) (hdfs.Owned, error) {
	info, err := os.Stat(k.at(name))
	if err != nil {
		return hdfs.Owned{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	o, ok := k.owned[k.at(name)]
	if !ok {
		o = hdfs.Owned{Owned: webhdfs.Owned{Owner: "nobody", Group: "none", Mode: "600"}}
	}
	o.Info = remote.Info{Path: path.Base(name), Folder: info.IsDir(), Modified: info.ModTime().Truncate(time.Millisecond)}
	if !info.IsDir() {
		o.Bytes = info.Size()
	}
	return o, nil
}

func (k *tree) ListOwned(name string) (all []hdfs.Owned, err error) {
	found, err := os.ReadDir(k.at(name))
	for _, e := range found {
		o, oerr := k.Owned(path.Join(name, e.Name()))
		all, err = append(all, o), errors.Join(err, oerr)
	}
	return all, err
}

func (k *tree) Open(name string) (hdfs.Reader, error) {
	k.mu.Lock()
	k.opened = append(k.opened, name)
	k.mu.Unlock()
	return os.Open(k.at(name))
}

func (k *tree) Create(name string) (hdfs.Writer, error) {
	if err := k.fail("create", name); err != nil {
		return nil, err
	}
	return os.Create(k.at(name))
}
func (k *tree) MkdirAll(name string) error  { return os.MkdirAll(k.at(name), 0o700) }
func (k *tree) RemoveAll(name string) error { return os.RemoveAll(k.at(name)) }
func (k *tree) RenameNew(old, name string) error {
	if err := k.fail("rename", name); err != nil {
		return err
	}
	return os.Rename(k.at(old), k.at(name))
}

func (k *tree) Own(name string, o hdfs.Owned) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.owned[k.at(name)] = o
	return nil
}

var warehouse = map[string]string{
	"flights/rows/metadata/v1.metadata.json": "{}", "flights/rows/data/2001-01-05/a.parquet": "rows", "releases/flights/training-2001-01.1/manifest.json": "m",
	"flights/.staging/.tmp-1": "half", "flights/empty/.tmp-2/x": "half",
}

func worked(t *testing.T) *tree {
	t.Helper()
	k := newTree(t, warehouse)
	k.owned[k.at("flights/rows")] = hdfs.Owned{Owned: webhdfs.Owned{Owner: "store", Group: "almanac", Mode: "1750"}, ACL: []string{"user:spark:r-x"}}
	return k
}

func save(t *testing.T, k *tree, dir string, last mirror.List) mirror.List {
	t.Helper()
	list, err := mirror.Save(t.Context(), k, "s1", dir, last)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := list.Write(&out); err != nil {
		t.Fatal(err)
	}
	back, err := mirror.Read(&out)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(list, back); diff != "" {
		t.Fatalf("a list that was written and read is another (-written +read):\n%s", diff)
	}
	return list
}

func TestWhatIsBroughtBackIsTheSame(t *testing.T) {
	k, dir := worked(t), t.TempDir()
	list := save(t, k, dir, mirror.List{})
	if got := list.Totals(); got != (mirror.Totals{Files: 3, Bytes: 7}) {
		t.Errorf("the list has %+v, want 3 files of 7 bytes: what is in the making is left out", got)
	}
	if err := mirror.Check(t.Context(), dir, list); err != nil {
		t.Error(err)
	}
	to := newTree(t, nil)
	for range 2 { // the second time there is nothing to do
		if err := mirror.Load(t.Context(), dir, list, to); err != nil {
			t.Fatal(err)
		}
	}
	again := save(t, to, t.TempDir(), mirror.List{})
	for i := range list.Entries { // a file that is brought back is a new one
		list.Entries[i].Modified, again.Entries[i].Modified = 0, 0
	}
	if diff := cmp.Diff(list, again); diff != "" {
		t.Errorf("what was brought back is another (-saved +brought back):\n%s", diff)
	}
}

func TestOnlyWhatIsNewIsCopiedAgain(t *testing.T) {
	k, dir := worked(t), t.TempDir()
	list := save(t, k, dir, mirror.List{})
	k.opened = nil
	if err := errors.Join(os.WriteFile(k.at("flights/rows/metadata/v2.metadata.json"), []byte("{2}"), 0o600), os.Remove(k.at("flights/rows/metadata/v1.metadata.json")),
		os.WriteFile(k.at("flights/rows/data/2001-01-05/a.parquet"), []byte("ROWS"), 0o600), os.Chtimes(k.at("flights/rows/data/2001-01-05/a.parquet"), time.Now(), time.Unix(9, 0))); err != nil {
		t.Fatal(err)
	}
	list = save(t, k, dir, list)
	if len(k.opened) != 2 {
		t.Errorf("%q were copied, want the new file and the changed one", k.opened)
	}
	if err := mirror.Check(t.Context(), dir, list); err != nil {
		t.Error(err)
	}
}

func TestAFolderOfSomebodyElseIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "letters"), []byte("dear"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := mirror.Save(t.Context(), worked(t), "s1", dir, mirror.List{}); err == nil || !strings.Contains(err.Error(), "name an empty folder") {
		t.Errorf("Save = %v, want it refused", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "letters")); err != nil {
		t.Error(err)
	}
}

func TestWhatDiffersIsFound(t *testing.T) {
	for name, harm := range map[string]func(dir string) error{
		"other bytes": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "flights/rows/data/2001-01-05/a.parquet"), []byte("sown"), 0o600)
		},
		"cut short": func(dir string) error {
			return os.Truncate(filepath.Join(dir, "flights/rows/data/2001-01-05/a.parquet"), 1)
		},
		"gone":     func(dir string) error { return os.Remove(filepath.Join(dir, "flights/rows/metadata/v1.metadata.json")) },
		"too much": func(dir string) error { return os.WriteFile(filepath.Join(dir, "flights/x"), nil, 0o600) },
	} {
		dir := t.TempDir()
		list := save(t, worked(t), dir, mirror.List{})
		if err := harm(dir); err != nil {
			t.Fatal(err)
		}
		if err := mirror.Check(t.Context(), dir, list); !errors.Is(err, mirror.ErrDiffers) {
			t.Errorf("%s: Check = %v, want %v", name, err, mirror.ErrDiffers)
		}
		if err := mirror.Load(t.Context(), dir, list, newTree(t, nil)); name != "too much" && err == nil {
			t.Errorf("%s: it was brought back", name)
		}
	}
}

// TestAWarehouseInUseIsLeftAlone brings back files over others.
func TestAWarehouseInUseIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	list := save(t, worked(t), dir, mirror.List{})
	for name, files := range map[string]map[string]string{
		"another file":              {"flights/rows/metadata/v9.metadata.json": "{}"},
		"a file of another length":  {"flights/rows/metadata/v1.metadata.json": "{9}"},
		"a file of other bytes":     {"flights/rows/metadata/v1.metadata.json": "[]"},
		"a file where a folder was": {"flights/rows/metadata": "x"},
	} {
		to := newTree(t, files)
		if err := mirror.Load(t.Context(), dir, list, to); !errors.Is(err, mirror.ErrNotEmpty) {
			t.Errorf("%s: Load = %v, want %v", name, err, mirror.ErrNotEmpty)
		}
		if _, err := os.Stat(to.at("releases")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: something was written", name)
		}
	}
}

// TestALoadThatWasKilledGoesOn ends one at each of its steps.
func TestALoadThatWasKilledGoesOn(t *testing.T) {
	dir := t.TempDir()
	list := save(t, worked(t), dir, mirror.List{})
	killed := errors.New("killed")
	for _, op := range []string{"create", "rename"} {
		for step := range 3 {
			to := newTree(t, nil)
			var mu sync.Mutex
			n := 0
			to.fail = func(o, _ string) error {
				mu.Lock()
				defer mu.Unlock()
				if o == op {
					if n++; n > step {
						return killed
					}
				}
				return nil
			}
			if err := mirror.Load(t.Context(), dir, list, to); !errors.Is(err, killed) {
				t.Fatalf("Load = %v, want it killed", err)
			}
			to.fail = func(string, string) error { return nil }
			if err := mirror.Load(t.Context(), dir, list, to); err != nil {
				t.Fatalf("killed at %s %d: %v", op, step+1, err)
			}
			if got := save(t, to, t.TempDir(), mirror.List{}).Totals(); got != list.Totals() {
				t.Errorf("killed at %s %d: %+v is there, want %+v", op, step+1, got, list.Totals())
			}
		}
	}
}

func TestAListThatIsCutShortIsRefused(t *testing.T) {
	list := save(t, worked(t), t.TempDir(), mirror.List{})
	var out bytes.Buffer
	if err := list.Write(&out); err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(bytes.TrimSuffix(out.Bytes(), []byte("\n")), []byte("\n"))
	for n := range lines {
		if _, err := mirror.Read(bytes.NewReader(bytes.Join(lines[:n], nil))); !errors.Is(err, mirror.ErrPartial) {
			t.Errorf("Read of %d of %d lines = %v, want %v", n, len(lines), err, mirror.ErrPartial)
		}
	}
	outside := `{"format":"almanac-files/1","uri":"hdfs://nn:8020/almanac"}` + "\n" + `{"path":"../x","owner":"a","group":"a","mode":"600"}`
	if _, err := mirror.Read(strings.NewReader(outside)); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("Read of a name outside = %v, want %v", err, fs.ErrInvalid)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"format":"almanac-files/1","uri":"x"}` + "\n" + `{"path":"a","bytes":1,"owner":"a","group":"a","mode":"600"}` + "\n" + `{"end":{"files":1,"bytes":1}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := mirror.Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		for _, e := range list.Entries {
			if !fs.ValidPath(e.Path) {
				t.Errorf("Read gave the path %q", e.Path)
			}
		}
	})
}
