package deliver_test

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/almanac-data/almanac/functions/internal/deliver/release"
)

// inMemory reads a release into memory.
func inMemory(t testing.TB, dir string) fstest.MapFS {
	t.Helper()
	all := fstest.MapFS{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		all[name] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestVerifyFindsWhatIsWrong(t *testing.T) {
	w := world(t)
	handle(t, core(w), "2001-12")
	dir := w.Sub("releases/flights/training-2001-12.1")
	text := func(old, now string) func(fstest.MapFS, []release.File) {
		return func(f fstest.MapFS, _ []release.File) {
			before := string(f["manifest.json"].Data)
			after := strings.Replace(before, old, now, 1)
			if before == after {
				t.Fatalf("the manifest does not hold %s: %s", old, before)
			}
			f["manifest.json"].Data = []byte(after)
		}
	}
	for name, c := range map[string]struct {
		change func(f fstest.MapFS, listed []release.File)
		want   string
	}{
		"a flipped bit":                {func(f fstest.MapFS, l []release.File) { f[l[0].Path].Data[100] ^= 1 }, "its SHA-256 is"},
		"a cut file":                   {func(f fstest.MapFS, l []release.File) { f[l[0].Path].Data = f[l[0].Path].Data[:90] }, "it has 90 bytes"},
		"a missing file":               {func(f fstest.MapFS, l []release.File) { delete(f, l[1].Path) }, "is missing"},
		"a file too much":              {func(f fstest.MapFS, _ []release.File) { f["data/x.parquet"] = &fstest.MapFile{} }, "data/x.parquet is not named"},
		"two files swapped":            {func(f fstest.MapFS, l []release.File) { f[l[0].Path], f[l[1].Path] = f[l[1].Path], f[l[0].Path] }, "it has a row with split"},
		"no manifest":                  {func(f fstest.MapFS, _ []release.File) { delete(f, "manifest.json") }, "manifest.json is missing"},
		"a torn manifest":              {func(f fstest.MapFS, _ []release.File) { f["manifest.json"].Data = f["manifest.json"].Data[:50] }, "read manifest"},
		"another format":               {text("almanac-release/1", "almanac-release/2"), `its format is "almanac-release/2"`},
		"a field nobody knows":         {text(`"owner"`, `"ownr"`), "unknown field"},
		"another owner":                {text(`"team"`, `"thief"`), "content of the manifest: its digest is"},
		"another total":                {text(`"total":4`, `"total":5`), "rows: the files have 4, the total says 5"},
		"another split":                {text(`"test":2`, `"test":3`), `rows of split "test": the files have 2, the manifest says 3`},
		"rows of a file":               {text(`"rows":2,"sha256"`, `"rows":3,"sha256"`), "it has 2 rows, the manifest says 3"},
		"a column":                     {text(`{"name":"late","nullable":true,"type":"int64"}`, `{"name":"late","nullable":true,"type":"string"}`), "its columns are"},
		"a row that went missing":      {text(`"read":2,"stored":2`, `"read":3,"stored":2`), "day 2001-12-05: 3 rows were read, but 2 stored"},
		"a sheet that does not add up": {text(`"rows":4,"sheet"`, `"rows":5,"sheet"`), "4 rows are stored, the manifest says 5"},
		"a file outside":               {text(`"path":"data/`, `"path":"../data/`), "a data file lies in data"},
		"another revision":             {text(`"revision":1`, `"revision":2`), "release, window and revision make training-2001-12.2"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := inMemory(t, dir)
			c.change(folder, manifest(t, w, "training-2001-12.1").Content.Files)
			r, err := release.Verify(context.Background(), folder)
			if err != nil || !strings.Contains(strings.Join(r.Problems, "\n"), c.want) {
				t.Errorf("Verify = %q, %v, want a problem with %q", r.Problems, err, c.want)
			}
		})
	}
	r, err := release.Verify(context.Background(), inMemory(t, dir))
	if err != nil || !r.OK() || r.Files != 2 || r.Rows != 4 || r.Version != "training-2001-12.1" {
		t.Errorf("Verify of what was published = %+v, %v", r, err)
	}
}

func TestTheManifestIsCanonical(t *testing.T) {
	w := world(t)
	handle(t, core(w), "2001-12")
	data := inMemory(t, w.Sub("releases/flights/training-2001-12.1"))["manifest.json"].Data
	var raw struct {
		Content json.RawMessage `json:"content"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(raw.Content), `{"contract":"1.0.0","dataset":"flights","definition":`) {
		t.Errorf("content is %s, want its keys in order", raw.Content)
	}
}
