package lake

import (
	"path"

	"github.com/almanac-data/almanac/functions/internal/lake/fsys"
	"github.com/almanac-data/almanac/functions/internal/lake/tables"
	"github.com/almanac-data/almanac/functions/internal/table"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// DataDir is the folder of the data files of one window of a table: <dataset>/<table>/data/<window key>.
func DataDir(name table.Name, w window.Window) string { return tables.DataDir(name, w) }

// join cleans a folder and adds a name to it.
func join(dir, name string) (string, error) {
	clean, err := fsys.Clean(dir)
	if err != nil {
		return "", err
	}
	return fsys.Clean(path.Join(clean, name))
}
