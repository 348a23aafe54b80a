package lake

import (
	"path"

	"github.com/almanac-data/almanac/functions/internal/lake/fsys"
	"github.com/almanac-data/almanac/functions/internal/table"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// DataDir is the folder of the data files of one window of a table: <dataset>/<table>/data/<window key>.
func DataDir(name table.Name, w window.Window) string {
	return path.Join(name.Dataset, name.Table, "data", w.Key())
}

// windowOf is the key of the window that a data file belongs to: the folder it lies in.
func windowOf(file string) string { return path.Base(path.Dir(file)) }

// join cleans a folder and adds a name to it.
func join(dir, name string) (string, error) {
	clean, err := fsys.Clean(dir)
	if err != nil {
		return "", err
	}
	return fsys.Clean(path.Join(clean, name))
}
