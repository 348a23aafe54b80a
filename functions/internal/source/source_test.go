package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/window"
)

var day = window.At(window.Day, time.Date(2001, 1, 5, 0, 0, 0, 0, time.UTC))

// folder makes a dataset's folder that holds the given files.
func folder(t *testing.T, path string, files map[string]string) *dataset.Dataset {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "fl[i]ghts") // a folder whose name reads like a pattern
	for name, content := range files {
		put(t, filepath.Join(dir, name), content)
	}
	return &dataset.Dataset{Name: "flights", Dir: dir, Collect: dataset.Collect{Path: path}}
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestPin(t *testing.T) {
	elsewhere := t.TempDir()
	put(t, filepath.Join(elsewhere, "2001-01-05.csv"), "a")
	tests := map[string]struct {
		path  string
		files map[string]string
		want  []string
		err   error
		says  []string
	}{
		"one file by day":                {path: "in/{yyyy-mm}/{yyyy-mm-dd}.csv", files: map[string]string{"in/2001-01/2001-01-05.csv": "a"}, want: []string{"in/2001-01/2001-01-05.csv"}},
		"all placeholders":               {path: "{yyyy}{mm}{dd}{yyyy-Www}", files: map[string]string{"200101052001-W01": "a"}, want: []string{"200101052001-W01"}},
		"an absolute path stays":         {path: elsewhere + "/{yyyy-mm-dd}.csv", want: []string{elsewhere + "/2001-01-05.csv"}},
		"a pattern gives sorted files":   {path: "in/*/{yyyy-mm-dd}-?.csv", files: map[string]string{"in/b/2001-01-05-1.csv": "1", "in/a/2001-01-05-2.csv": "2", "in/a/2001-01-06-1.csv": "3"}, want: []string{"in/a/2001-01-05-2.csv", "in/b/2001-01-05-1.csv"}},
		"a pattern leaves hidden files":  {path: "in/*", files: map[string]string{"in/a": "1", "in/.b.part": "2"}, want: []string{"in/a"}},
		"a hidden pattern finds them":    {path: "in/.*", files: map[string]string{"in/a": "1", "in/.b": "2"}, want: []string{"in/.b"}},
		"two empty files pass":           {path: "in/*", files: map[string]string{"in/a": "", "in/b": ""}, want: []string{"in/a", "in/b"}},
		"a missing file":                 {path: "in/{yyyy-mm-dd}.csv", err: fs.ErrNotExist, says: []string{"fl[i]ghts/in/2001-01-05.csv", "window 2001-01-05 of flights", "put the file there"}},
		"no match in a folder":           {path: "in/*.csv", files: map[string]string{"in/a.txt": ""}, err: fs.ErrNotExist, says: []string{"fl[i]ghts/in/*.csv", "no file matches", "put the files there"}},
		"no folder for a pattern":        {path: "in/*.csv", err: fs.ErrNotExist, says: []string{"fl[i]ghts/in ", "put the file there"}},
		"a directory":                    {path: "in", files: map[string]string{"in/a": ""}, err: events.ErrInvalid, says: []string{"fl[i]ghts/in", "is a directory"}},
		"a broken pattern":               {path: "in/[a", err: events.ErrInvalid, says: []string{"in/[a"}},
		"more files than a pin may hold": {path: "in/*", files: manyFiles(maxFiles + 1), err: events.ErrInvalid, says: []string{"1001 files", "in/*"}},
		"the same file twice":            {path: "in/*", files: map[string]string{"in/a.csv": "same", "in/b.csv": "same"}, err: events.ErrInvalid, says: []string{"in/a.csv", "in/b.csv", "twice"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := folder(t, tt.path, tt.files)
			pin, err := new(Files).Pin(context.Background(), d, day)
			if !errors.Is(err, tt.err) || (err != nil) != (tt.err != nil) {
				t.Fatalf("Pin(%s) error = %v, want %v", tt.path, err, tt.err)
			}
			for _, say := range tt.says {
				if !strings.Contains(err.Error(), say) {
					t.Errorf("Pin(%s) says %q, want it to name %q", tt.path, err, say)
				}
			}
			var got []string
			for _, f := range pin.Files {
				got = append(got, f.URI)
				if len(f.Digest) != 64 || f.Version == "" {
					t.Errorf("Pin(%s) gave %+v, want a digest and a version", tt.path, f)
				}
			}
			if strings.Join(got, " ") != strings.Join(tt.want, " ") {
				t.Errorf("Pin(%s) = %v, want %v", tt.path, got, tt.want)
			}
		})
	}
}

func manyFiles(n int) map[string]string {
	files := map[string]string{}
	for i := range n {
		files[fmt.Sprintf("in/%d", i)] = ""
	}
	return files
}

func TestPinDoesNotDependOnThePlaceOfTheFolder(t *testing.T) {
	files := map[string]string{"in/2001-01-05.csv": "a,b\n1,2\n"}
	pins := make([]events.Pin, 2)
	for i := range pins {
		var err error
		if pins[i], err = new(Files).Pin(context.Background(), folder(t, "in/{yyyy-mm-dd}.csv", files), day); err != nil {
			t.Fatal(err)
		}
	}
	if pins[0].Content() != pins[1].Content() {
		t.Errorf("Content of %+v and %+v differ, want the same", pins[0], pins[1])
	}
}

func TestVersionChangesWithTheFile(t *testing.T) {
	path := func(d *dataset.Dataset) string { return filepath.Join(d.Dir, "in.csv") }
	changes := map[string]func(t *testing.T, d *dataset.Dataset){
		"longer":  func(t *testing.T, d *dataset.Dataset) { put(t, path(d), "a,b\n1,2\n3,4\n") },
		"touched": func(t *testing.T, d *dataset.Dataset) { touch(t, path(d)) },
		"replaced by a rename that keeps length and time": func(t *testing.T, d *dataset.Dataset) {
			info, err := os.Stat(path(d))
			if err != nil {
				t.Fatal(err)
			}
			put(t, path(d)+".new", "a,b\n9,9\n")
			if err := errors.Join(os.Chtimes(path(d)+".new", info.ModTime(), info.ModTime()), os.Rename(path(d)+".new", path(d))); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			d := folder(t, "in.csv", map[string]string{"in.csv": "a,b\n1,2\n"})
			versions := func() string {
				pin, err := new(Files).Versions(context.Background(), d, day)
				if err != nil {
					t.Fatal(err)
				}
				return pin.Files[0].Version
			}
			before := versions()
			if again := versions(); again != before {
				t.Errorf("version of an untouched file = %s, then %s", before, again)
			}
			change(t, d)
			if after := versions(); after == before {
				t.Errorf("version after the change = %s, as before", after)
			}
		})
	}
}

func touch(t *testing.T, path string) {
	t.Helper()
	at := time.Date(2001, 1, 6, 0, 0, 0, 1, time.UTC)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func TestDigestRefusesAFileThatChangesMeanwhile(t *testing.T) {
	d := folder(t, "in.csv", map[string]string{"in.csv": "a"})
	if _, err := digest(context.Background(), filepath.Join(d.Dir, "in.csv"), events.PinnedFile{Version: "another"}); err == nil || errors.Is(err, events.ErrInvalid) {
		t.Errorf("digest error = %v, want one that a retry can help", err)
	}
}

func TestPinStopsWithItsContext(t *testing.T) {
	d := folder(t, "in.csv", map[string]string{"in.csv": "a"})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := new(Files).Pin(ctx, d, day); !errors.Is(err, context.Canceled) {
		t.Errorf("Pin error = %v, want %v", err, context.Canceled)
	}
}

func TestUnreadableFile(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root reads everything")
	}
	d := folder(t, "in.csv", map[string]string{"in.csv": "a"})
	if err := os.Chmod(filepath.Join(d.Dir, "in.csv"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := new(Files).Pin(context.Background(), d, day); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "let the user") {
		t.Errorf("Pin error = %v, want %v and what to do", err, fs.ErrPermission)
	}
}
