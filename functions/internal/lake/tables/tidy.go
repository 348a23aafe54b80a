package tables

import (
	"context"

	icetable "github.com/apache/iceberg-go/table"

	"github.com/almanac-data/almanac/functions/internal/table"
)

// committed finds the snapshot of a commit that got an error for an answer, or returns 0. It is asked with a context that does not end with the caller's.
func (l *Tables) committed(ctx context.Context, name table.Name, token string) int64 {
	t, err := l.load(ctx, name)
	if err != nil || t == nil {
		return 0
	}
	for _, s := range t.Metadata().Snapshots() {
		if s.Summary != nil && s.Summary.Properties[commitProperty] == token {
			return s.SnapshotID
		}
	}
	return 0
}

// tidy deletes the manifest lists of the snapshots that a commit has expired, and the manifests that only they name. It is best effort;
// data files are left to maintenance.
func (l *Tables) tidy(before, after *icetable.Table) {
	kept := after.Metadata().Snapshots()
	for _, s := range before.Metadata().Snapshots() {
		if after.SnapshotByID(s.SnapshotID) != nil || s.ManifestList == "" {
			continue
		}
		// A manifest that the oldest snapshot of those kept does not name was dropped for good.
		for _, manifest := range l.dropped(s, kept[0]) {
			l.remove(manifest)
		}
		l.remove(s.ManifestList)
	}
}

// dropped lists the manifests of a snapshot that a later one does not name, or none if that cannot be told.
func (l *Tables) dropped(s, later icetable.Snapshot) []string {
	old, err := s.Manifests(l.catalog.IO())
	if err != nil {
		return nil
	}
	still, err := later.Manifests(l.catalog.IO())
	if err != nil {
		return nil
	}
	named := map[string]bool{}
	for _, m := range still {
		named[m.FilePath()] = true
	}
	var gone []string
	for _, m := range old {
		if !named[m.FilePath()] {
			gone = append(gone, m.FilePath())
		}
	}
	return gone
}

func (l *Tables) remove(location string) {
	if name, err := l.catalog.Name(location); err == nil {
		_ = l.fs.Remove(name)
	}
}
