package lake

import (
	"github.com/almanac-data/almanac/functions/internal/lake/tables"
	"github.com/almanac-data/almanac/functions/internal/table"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// DataDir is the folder of the data files of one window of a table: <dataset>/<table>/data/<window key>.
func DataDir(name table.Name, w window.Window) string { return tables.DataDir(name, w) }
