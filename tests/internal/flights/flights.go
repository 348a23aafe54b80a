// Package flights makes smaller datasets of the flights that Almanac ships.
package flights

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/almanac-data/almanac/tests/internal/box"
	"github.com/almanac-data/almanac/tests/internal/edit"
	"github.com/almanac-data/almanac/tests/internal/reader"
)

// months are those of the sample that is shipped.
var months = []string{"2001-01", "2001-02", "2001-03", "2001-04", "2001-05", "2001-06"}

// Copy copies the dataset in the folder from into a new folder, as a dataset called id whose pipeline ends before end, a date of the sample. Months that begin at that date or
// later are left out. It fails if the dataset shipped is not as it was when this was written.
func Copy(from, folder, id, end string) error {
	if err := os.CopyFS(folder, os.DirFS(from)); err != nil {
		return err
	}
	if err := edit.Replace(filepath.Join(folder, "contract.yaml"), "\nid: flights\n", "\nid: "+id+"\n"); err != nil {
		return err
	}
	if err := edit.Replace(filepath.Join(folder, "pipeline.yaml"), "end: 2001-07-01\n", "end: "+end+"\n"); err != nil {
		return err
	}
	for _, month := range months {
		path := filepath.Join(folder, "sample", month)
		if _, err := os.Stat(path); err != nil {
			return err
		}
		if month+"-01" < end {
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}

// Trial is a dataset of flights, and what one process makes of it.
type Trial struct {
	Name     string
	Datasets string // the folder in which the dataset's is
	Releases map[string]reader.Release
}

// Folder is the dataset's own.
func (t Trial) Folder() string { return filepath.Join(t.Datasets, t.Name) }

// Try makes a trial in the folder dir, by the command almanac and from the dataset in the folder from, and has one process do it, which must make so many releases.
func Try(ctx context.Context, almanac, from, dir, name, end string, releases int) (Trial, error) {
	t := Trial{Name: name, Datasets: filepath.Join(dir, "datasets")}
	if err := Copy(from, t.Folder(), name, end); err != nil {
		return t, err
	}
	alone := box.Box{Binary: almanac, Datasets: t.Datasets, Data: filepath.Join(dir, "alone")}
	result, err := alone.Run(ctx, "run", "--no-serve")
	if err != nil {
		return t, err
	}
	if result.Code != 0 {
		return t, fmt.Errorf("one process: %s", result)
	}
	t.Releases, err = reader.Releases(filepath.Join(alone.Data, "warehouse"))
	if err == nil && len(t.Releases) != releases {
		err = fmt.Errorf("one process makes %d releases of flights until %s, want %d", len(t.Releases), end, releases)
	}
	return t, err
}
