package lake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"sort"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/catalog"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/lake/hadoop"
	"github.com/almanac-data/almanac/functions/internal/table"
	"github.com/almanac-data/almanac/functions/internal/window"
)

func identifier(name table.Name) icetable.Identifier {
	return icetable.Identifier{name.Dataset, name.Table}
}

// load returns the newest version of a table, or nil if there is no such table.
func (l *Lake) load(ctx context.Context, name table.Name) (*hadoop.Table, error) {
	if _, err := join(name.Dataset, name.Table); err != nil {
		return nil, err
	}
	t, err := l.catalog.Load(ctx, identifier(name))
	if errors.Is(err, catalog.ErrNoSuchTable) {
		return nil, nil
	}
	return t, err
}

// Head is what the table holds now. A table that does not exist, or is empty, has no entries and snapshot 0.
// The error wraps table.ErrNoMap if something else than Almanac wrote the head.
func (l *Lake) Head(ctx context.Context, name table.Name) (table.Head, error) {
	t, err := l.load(ctx, name)
	if err == nil {
		var head table.Head
		if head, err = l.headOf(name, t); err == nil {
			return head, nil
		}
	}
	return table.Head{}, fmt.Errorf("head of %s: %w", name, err)
}

// headOf reads the map of the newest snapshot. The caller may change what it gets.
func (l *Lake) headOf(name table.Name, t *hadoop.Table) (table.Head, error) {
	head := table.Head{Entries: map[string]json.RawMessage{}}
	if t == nil || t.CurrentSnapshot() == nil {
		return head, nil
	}
	s := t.CurrentSnapshot()
	head.Snapshot = s.SnapshotID
	l.mu.Lock()
	known := l.heads[name]
	l.mu.Unlock()
	if known.Snapshot == head.Snapshot {
		head.Entries = maps.Clone(known.Entries)
		return head, nil
	}
	var summary iceberg.Properties
	if s.Summary != nil {
		summary = s.Summary.Properties
	}
	if summary[mapProperty] == "" {
		if summary["total-records"] == "0" {
			return head, nil
		}
		return head, fmt.Errorf("%w (snapshot %d): another program wrote it; roll the table back to a snapshot that has %s in its summary, "+
			"or move the table's folder away and replay", table.ErrNoMap, s.SnapshotID, mapProperty)
	}
	if got := summary[mapFormatProperty]; got != mapFormat {
		return head, fmt.Errorf("snapshot %d: %s is %q, this version reads %q: use a newer version of Almanac", s.SnapshotID, mapFormatProperty, got, mapFormat)
	}
	entries, err := decodeMap(t.Value(summary[mapProperty]))
	if err != nil {
		return head, fmt.Errorf("snapshot %d: %w", s.SnapshotID, err)
	}
	l.remember(name, table.Head{Snapshot: head.Snapshot, Entries: entries})
	head.Entries = maps.Clone(entries)
	return head, nil
}

// remember keeps a head, so that its map need not be read again.
func (l *Lake) remember(name table.Name, head table.Head) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heads[name] = head
}

// Tables lists the names of a dataset's tables, sorted.
func (l *Lake) Tables(ctx context.Context, dataset string) ([]string, error) {
	if _, err := join(dataset, "x"); err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	return l.catalog.Tables(ctx, dataset)
}

// Files lists the data files of the windows at a snapshot, sorted by path. A window that the snapshot does not hold has none.
// The error wraps fs.ErrNotExist if the snapshot is not kept any more.
func (l *Lake) Files(ctx context.Context, name table.Name, snapshot int64, windows []string) ([]events.File, error) {
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
func (l *Lake) dataFiles(ctx context.Context, t *hadoop.Table, snapshot int64, windows []string) ([]iceberg.DataFile, error) {
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
