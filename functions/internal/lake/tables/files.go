package tables

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"sort"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/lake/columns"
	"github.com/almanac-data/almanac/functions/internal/lake/hadoop"
	"github.com/almanac-data/almanac/functions/internal/table"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// DataDir is the folder of the data files of one window of a table: <dataset>/<table>/data/<window key>.
func DataDir(name table.Name, w window.Window) string {
	return path.Join(name.Dataset, name.Table, "data", w.Key())
}

// windowOf is the key of the window that a data file belongs to: the folder it lies in.
func windowOf(file string) string { return path.Base(path.Dir(file)) }

// Files lists the data files of the windows at a snapshot, sorted by path. A window that the snapshot does not hold has none.
// The error wraps fs.ErrNotExist if the snapshot is not kept any more.
func (l *Tables) Files(ctx context.Context, name table.Name, snapshot int64, windows []string) ([]events.File, error) {
	if len(windows) == 0 || snapshot == 0 {
		return nil, nil
	}
	t, err := l.load(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("files of %s: %w", name, err)
	}
	found, err := l.dataFiles(ctx, t, snapshot, windows)
	if err != nil {
		return nil, fmt.Errorf("files of %s: %w", name, err)
	}
	files := make([]events.File, 0, len(found))
	for _, f := range found {
		file, err := l.catalog.Name(f.FilePath())
		if err != nil {
			return nil, fmt.Errorf("files of %s: %w", name, err)
		}
		digest := path.Base(file)
		files = append(files, events.File{
			Path: file, Bytes: f.FileSizeBytes(), Rows: f.Count(), Digest: digest[:len(digest)-len(path.Ext(digest))],
		})
	}
	sort.Slice(files, func(i, j int) bool { return files[i].Path < files[j].Path })
	return files, nil
}

// dataFiles reads the manifests that can name files of the windows.
func (l *Tables) dataFiles(ctx context.Context, t *hadoop.Table, snapshot int64, windows []string) ([]iceberg.DataFile, error) {
	wanted := map[string]bool{}
	var first, last window.Window
	for i, key := range windows {
		w, err := window.Parse(key)
		if err != nil {
			return nil, err
		}
		if i == 0 || w.Start.Before(first.Start) {
			first = w
		}
		if i == 0 || w.Start.After(last.Start) {
			last = w
		}
		wanted[key] = true
	}
	if t == nil {
		return nil, fmt.Errorf("snapshot %d: no such table", snapshot)
	}
	if _, err := snapshotOf(t.Table, snapshot); err != nil {
		return nil, err
	}
	column := iceberg.Reference(table.Window)
	filter := iceberg.NewAnd(
		iceberg.GreaterThanEqual(column, iceberg.Timestamp(first.Start.UnixMicro())),
		iceberg.LessThanEqual(column, iceberg.Timestamp(last.Start.UnixMicro())))
	tasks, err := t.Scan(icetable.WithSnapshotID(snapshot), icetable.WithRowFilter(filter)).PlanFiles(ctx)
	if err != nil {
		return nil, fmt.Errorf("plan scan: %w", err)
	}
	var files []iceberg.DataFile
	for _, task := range tasks {
		if wanted[windowOf(task.File.FilePath())] {
			files = append(files, task.File)
		}
	}
	return files, nil
}

func snapshotOf(t *icetable.Table, id int64) (*icetable.Snapshot, error) {
	s := t.SnapshotByID(id)
	if s == nil {
		return nil, fmt.Errorf("snapshot %d is not kept: %w", id, fs.ErrNotExist)
	}
	return s, nil
}

// Schema is the schema of a table at a snapshot, or its newest if the snapshot is 0. Every column is nullable.
// The error wraps fs.ErrNotExist if there is no such table, or no such snapshot any more.
func (l *Tables) Schema(ctx context.Context, name table.Name, snapshot int64) (*arrow.Schema, error) {
	t, err := l.load(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("schema of %s: %w", name, err)
	}
	if t == nil {
		return nil, fmt.Errorf("schema of %s: no such table: %w", name, fs.ErrNotExist)
	}
	schema := t.Schema()
	if snapshot != 0 {
		s, err := snapshotOf(t.Table, snapshot)
		if err != nil {
			return nil, fmt.Errorf("schema of %s: %w", name, err)
		}
		if s.SchemaID != nil && t.Schemas()[*s.SchemaID] != nil {
			schema = t.Schemas()[*s.SchemaID]
		}
	}
	out, err := columns.Arrow(schema)
	if err != nil {
		return nil, fmt.Errorf("schema of %s: %w", name, err)
	}
	return out, nil
}
