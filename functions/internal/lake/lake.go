// Package lake keeps a warehouse: files named by their digest, Parquet files, Iceberg tables whose windows are replaced whole, and
// folders that are published once.
//
// All paths are slash-separated and relative to the warehouse; a path that leaves it is an error that wraps fs.ErrInvalid.
// A missing file is fs.ErrNotExist. A Lake is safe for concurrent use, also of several processes over one warehouse.
package lake

import (
	"context"

	"github.com/almanac-data/almanac/functions/internal/lake/fsys"
	"github.com/almanac-data/almanac/functions/internal/lake/tables"
)

// Lake is an open warehouse.
type Lake struct {
	*tables.Tables

	fs     fsys.FS
	target int64
}

// keptSnapshots is how many snapshots of each table are kept. Older ones leave the metadata with each commit; their data files stay.
const keptSnapshots = 20

type config struct {
	target int64
}

// Option changes how a Lake works.
type Option func(*config)

// TargetFileSize sets the size in bytes at which Parquet files are split (by default 256 MiB).
func TargetFileSize(n int64) Option { return func(c *config) { c.target = max(n, 1) } }

// Open opens the warehouse in a local folder, which is made if it is missing.
func Open(ctx context.Context, warehouse string, opts ...Option) (*Lake, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	local, err := fsys.OpenLocal(warehouse)
	if err != nil {
		return nil, err
	}
	return OpenOn(local, opts...), nil
}

// OpenOn opens the warehouse on any file system.
func OpenOn(fs fsys.FS, opts ...Option) *Lake {
	c := config{target: 256 << 20}
	for _, o := range opts {
		o(&c)
	}
	return &Lake{Tables: tables.New(fs, keptSnapshots), fs: fs, target: c.target}
}

// URI is the absolute path or URI of a path of the warehouse, for engines.
func (l *Lake) URI(path string) string { return l.fs.URI(path) }
