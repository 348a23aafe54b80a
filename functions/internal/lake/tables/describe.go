package tables

import (
	"errors"
	"fmt"

	"github.com/apache/iceberg-go"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/lake/columns"
	"github.com/almanac-data/almanac/functions/internal/lake/hadoop"
	"github.com/almanac-data/almanac/functions/internal/table"
)

// describe makes Iceberg's data files of the files, from their footers, and their names durable. A file that is missing, or not of the
// size, rows or columns that it is said to have, is an error.
func (l *Tables) describe(t *hadoop.Table, r table.Replace) ([]iceberg.DataFile, error) {
	var files []iceberg.DataFile
	for _, c := range r.Windows {
		for _, f := range c.Files {
			d, err := l.describeFile(t, f, int32(c.Window.Start.Unix()/86400))
			if err != nil {
				return nil, fmt.Errorf("data file %s: %w", f.Path, err)
			}
			files = append(files, d)
		}
		if len(c.Files) > 0 {
			if err := l.fs.SyncDir(DataDir(r.Table, c.Window)); err != nil {
				return nil, fmt.Errorf("make names of data files durable: %w", err)
			}
		}
	}
	return files, nil
}

func (l *Tables) describeFile(t *hadoop.Table, f events.File, day int32) (_ iceberg.DataFile, err error) {
	in, err := l.fs.Open(f.Path)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	info, err := in.Stat()
	if err != nil {
		return nil, fmt.Errorf("stat: %w", err)
	}
	if info.Size() != f.Bytes {
		return nil, fmt.Errorf("has %d bytes, want %d", info.Size(), f.Bytes)
	}
	of := columns.File{Location: l.catalog.Location(f.Path), Bytes: f.Bytes, Rows: f.Rows, Day: day}
	return columns.Describe(in, of, t.Schema(), t.Spec())
}
