package lake

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"sort"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/catalog"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/klauspost/compress/zstd"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/table"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// Properties of the snapshots' summaries.
const (
	mapProperty        = "almanac.map" // base64 of zstd of the JSON object {window key: entry}
	mapFormatProperty  = "almanac.map-format"
	mapFormat          = "1"
	windowProperty     = "almanac.window"
	generationProperty = "almanac.generation"
	commitProperty     = "almanac.commit" // random: finds a commit again whose answer got lost
)

func identifier(name table.Name) icetable.Identifier {
	return icetable.Identifier{name.Dataset, name.Table}
}

// load returns the newest version of a table, or nil if there is no such table.
func (l *Lake) load(ctx context.Context, name table.Name) (*icetable.Table, error) {
	if _, err := join(name.Dataset, name.Table); err != nil {
		return nil, err
	}
	t, err := l.catalog.LoadTable(ctx, identifier(name))
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
		if head, err = headOf(t); err == nil {
			return head, nil
		}
	}
	return table.Head{}, fmt.Errorf("head of %s: %w", name, err)
}

func headOf(t *icetable.Table) (table.Head, error) {
	head := table.Head{Entries: map[string]json.RawMessage{}}
	if t == nil || t.CurrentSnapshot() == nil {
		return head, nil
	}
	s := t.CurrentSnapshot()
	head.Snapshot = s.SnapshotID
	if s.Summary == nil || s.Summary.Properties[mapProperty] == "" {
		if s.Summary != nil && s.Summary.Properties["total-records"] == "0" {
			return head, nil
		}
		return head, fmt.Errorf("%w (snapshot %d): another program wrote it; roll the table back to a snapshot that has %s in its summary, "+
			"or move the table's folder away and replay", table.ErrNoMap, s.SnapshotID, mapProperty)
	}
	if got := s.Summary.Properties[mapFormatProperty]; got != mapFormat {
		return head, fmt.Errorf("snapshot %d: %s is %q, this version reads %q: use a newer version of Almanac", s.SnapshotID, mapFormatProperty, got, mapFormat)
	}
	entries, err := decodeMap(s.Summary.Properties[mapProperty])
	if err != nil {
		return head, fmt.Errorf("snapshot %d: %w", s.SnapshotID, err)
	}
	head.Entries = entries
	return head, nil
}

var (
	mapEncoder, _ = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault))
	mapDecoder, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
)

func encodeMap(entries map[string]json.RawMessage) (string, error) {
	var data bytes.Buffer
	enc := json.NewEncoder(&data)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(entries); err != nil {
		return "", fmt.Errorf("encode map: %w", err)
	}
	return base64.StdEncoding.EncodeToString(mapEncoder.EncodeAll(data.Bytes(), nil)), nil
}

func decodeMap(property string) (map[string]json.RawMessage, error) {
	packed, err := base64.StdEncoding.DecodeString(property)
	if err != nil {
		return nil, fmt.Errorf("decode map: %w", err)
	}
	data, err := mapDecoder.DecodeAll(packed, nil)
	if err != nil {
		return nil, fmt.Errorf("decode map: %w", err)
	}
	entries := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &entries); err != nil {
		return nil, fmt.Errorf("decode map: %w", err)
	}
	return entries, nil
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
func (l *Lake) dataFiles(ctx context.Context, t *icetable.Table, snapshot int64, windows []string) ([]iceberg.DataFile, error) {
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
	if _, err := snapshotOf(t, snapshot); err != nil {
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
