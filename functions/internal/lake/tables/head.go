package tables

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/catalog"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/almanac-data/almanac/functions/internal/lake/hadoop"
	"github.com/almanac-data/almanac/functions/internal/table"
)

func identifier(name table.Name) icetable.Identifier {
	return icetable.Identifier{name.Dataset, name.Table}
}

// load returns the newest version of a table, or nil if there is no such table.
func (l *Tables) load(ctx context.Context, name table.Name) (*hadoop.Table, error) {
	if err := check(name); err != nil {
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
func (l *Tables) Head(ctx context.Context, name table.Name) (table.Head, error) {
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
func (l *Tables) headOf(name table.Name, t *hadoop.Table) (table.Head, error) {
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
		return head, fmt.Errorf("%w (snapshot %d): another program wrote it%s, or move the table's folder away and replay",
			table.ErrNoMap, s.SnapshotID, remedy(name, t))
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

// remedy says how to undo what another program wrote: by the newest snapshot that Almanac made.
func remedy(name table.Name, t *hadoop.Table) string {
	for _, s := range slices.Backward(t.Metadata().Snapshots()) {
		if s.Summary != nil && s.Summary.Properties[mapProperty] != "" {
			return fmt.Sprintf("; roll the table back, in Spark by CALL <catalog>.system.set_current_snapshot('%s', %d)", name, s.SnapshotID)
		}
	}
	return ", and no snapshot of Almanac's is left; bring the table back from a backup"
}

// remember keeps a head, so that its map need not be read again.
func (l *Tables) remember(name table.Name, head table.Head) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heads[name] = head
}
