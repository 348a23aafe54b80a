package process

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset/folder"
)

// TestShippedSamples reads a file of each dataset of the repository by its own contract and pipeline.
func TestShippedSamples(t *testing.T) {
	all, err := folder.Catalog("../../../spark-jobs")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ window, file string }{
		"flights": {"2001-03-09", "2001-03/2001-03-09.csv.gz"},
		"births":  {"1986-W05", "1986-W05.csv.gz"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if w.d, err = all.Dataset(name); err != nil {
				t.Fatal(err)
			}
			text := unzip(t, filepath.Join(w.d.Dir, "sample", c.file))
			w.piece = events.Piece{Dataset: name, Window: c.window, Generation: 1, Slice: 1}
			w.file(text, 20_000)
			w.say(func(c *events.Collected) { c.Definition = w.d.Definition })
			if err := w.handle(); err != nil {
				t.Fatal(err)
			}
			got := w.read()
			if len(got.Rows) != strings.Count(text, "\n")-1 || len(got.Rejects) > 0 {
				t.Errorf("%d lines give %d rows and %q", strings.Count(text, "\n"), len(got.Rows), got.Rejects)
			}
		})
	}
}

func unzip(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
