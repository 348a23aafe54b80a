package tables

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	random "math/rand/v2"
	"slices"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/catalog"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/almanac-data/almanac/functions/internal/lake/columns"
	"github.com/almanac-data/almanac/functions/internal/lake/hadoop"
	"github.com/almanac-data/almanac/functions/internal/table"
)

// Replace makes the files the whole content of one window, in one snapshot. It returns the snapshot that holds them and the entry
// that the window had before, or nil. If Done says that nothing is to do it returns the head and the present entry.
//
// It is tried again until it is committed, Done ends it, the head is not the one demanded (table.ErrMoved), or ctx ends. After a crash at any moment
// the table is as before or as after.
func (l *Tables) Replace(ctx context.Context, r table.Replace) (snapshot int64, previous json.RawMessage, err error) {
	if r.Entry, err = compact(r.Entry); err == nil {
		err = checkReplace(r)
	}
	if err != nil {
		return 0, nil, fmt.Errorf("replace %s of %s: %w", r.Window, r.Table, err)
	}
	unlock, err := l.lock(ctx, r.Table)
	if err != nil {
		return 0, nil, err
	}
	defer unlock()
	for try := 0; ; try++ {
		snapshot, previous, err = l.replace(ctx, r)
		if err == nil || !errors.Is(err, icetable.ErrCommitFailed) {
			break
		}
		l.retries.Add(1)
		if werr := wait(ctx, try); werr != nil {
			err = errors.Join(werr, err)
			break
		}
	}
	if err != nil {
		return 0, nil, fmt.Errorf("replace %s of %s: %w", r.Window, r.Table, err)
	}
	return snapshot, previous, nil
}

// checkReplace refuses what can never be committed.
func checkReplace(r table.Replace) error {
	if err := check(r.Table); err != nil {
		return err
	}
	if r.Schema == nil || !r.Schema.HasField(table.Window) {
		return fmt.Errorf("schema has no column %s", table.Window)
	}
	dir := DataDir(r.Table, r.Window)
	for _, f := range r.Files {
		if want := dir + "/" + f.Digest + ".parquet"; f.Path != want {
			return fmt.Errorf("data file %s does not lie at %s", f.Path, want)
		}
	}
	return nil
}

// wait sleeps a random time that grows with the number of tries, up to half a second.
func wait(ctx context.Context, try int) error {
	most := min(5*time.Millisecond<<min(try, 10), 500*time.Millisecond)
	timer := time.NewTimer(random.N(most)) //nolint:gosec // a backoff needs no secret
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// replace tries once. The error wraps icetable.ErrCommitFailed if another commit came first.
func (l *Tables) replace(ctx context.Context, r table.Replace) (int64, json.RawMessage, error) {
	t, err := l.load(ctx, r.Table)
	if err != nil {
		return 0, nil, err
	}
	head, err := l.headOf(r.Table, t)
	if err != nil {
		return 0, nil, err
	}
	present := head.Entries[r.Window.Key()]
	if r.Done != nil {
		done, err := r.Done(present)
		if err != nil {
			return 0, nil, err
		}
		if done {
			return head.Snapshot, present, nil
		}
	}
	if r.Head != 0 && head.Snapshot != r.Head {
		return 0, nil, fmt.Errorf("%w: it is %d, want %d", table.ErrMoved, head.Snapshot, r.Head)
	}
	if t, err = l.prepare(ctx, t, r); err != nil {
		return 0, nil, err
	}
	snapshot, err := l.commit(ctx, t, head, r)
	return snapshot, present, err
}

// prepare makes the table, or adds columns to it.
func (l *Tables) prepare(ctx context.Context, t *hadoop.Table, r table.Replace) (*hadoop.Table, error) {
	if t == nil {
		metadata, err := newTable(l.catalog.Location(r.Table.Dataset+"/"+r.Table.Table), r.Schema)
		if err != nil {
			return nil, err
		}
		t, err := l.catalog.CreateTable(ctx, identifier(r.Table), metadata)
		if errors.Is(err, catalog.ErrTableAlreadyExists) {
			err = fmt.Errorf("%w: %w", icetable.ErrCommitFailed, err)
		}
		return t, err
	}
	fields, added, err := columns.Extend(t.Schema().Fields(), r.Schema)
	if err != nil || added == 0 {
		return t, err
	}
	_, _, err = l.catalog.CommitTable(ctx, identifier(r.Table),
		[]icetable.Requirement{icetable.AssertTableUUID(t.Metadata().TableUUID()), icetable.AssertCurrentSchemaID(t.Schema().ID)},
		[]icetable.Update{icetable.NewAddSchemaUpdate(iceberg.NewSchema(t.Schema().ID+1, fields...)), icetable.NewSetCurrentSchemaUpdate(-1)})
	if err != nil {
		return nil, fmt.Errorf("add columns: %w", err)
	}
	return l.load(ctx, r.Table)
}

// commit makes one snapshot of the loaded version.
func (l *Tables) commit(ctx context.Context, t *hadoop.Table, head table.Head, r table.Replace) (int64, error) {
	added, err := l.describe(t, r)
	if err != nil {
		return 0, err
	}
	var removed []iceberg.DataFile
	if _, present := head.Entries[r.Window.Key()]; present {
		if removed, err = l.dataFiles(ctx, t, head.Snapshot, []string{r.Window.Key()}); err != nil {
			return 0, err
		}
	}
	// Files that stay are neither added nor removed.
	added, removed = difference(added, removed), difference(removed, added)
	head.Entries[r.Window.Key()] = r.Entry
	packed, err := encodeMap(head.Entries)
	if err != nil {
		return 0, err
	}
	token := rand.Text()
	summary := summarise(r, token)
	summary[mapProperty] = l.catalog.Keep(packed)
	defer l.catalog.Forget(summary[mapProperty])
	tx := t.NewTransaction()
	switch {
	case len(removed) > 0:
		err = tx.ReplaceDataFilesWithDataFiles(ctx, removed, added, summary, icetable.WithoutAutoNameMapping())
	case len(added) > 0:
		err = tx.AddDataFiles(ctx, added, summary, icetable.WithoutAutoNameMapping(), icetable.WithoutDuplicateCheck())
	default:
		err = tx.AddFiles(ctx, nil, summary, false) // only the map changes
	}
	if err != nil {
		return 0, fmt.Errorf("build snapshot: %w", err)
	}
	if err := tx.ExpireSnapshots(icetable.WithRetainLast(l.keep), icetable.WithOlderThan(0), icetable.WithPostCommit(false)); err != nil {
		return 0, fmt.Errorf("expire snapshots: %w", err)
	}
	after, err := tx.Commit(ctx)
	if err == nil {
		l.tidy(t.Table, after)
		head.Snapshot = after.CurrentSnapshot().SnapshotID
		l.remember(r.Table, head)
		return head.Snapshot, nil
	}
	if snapshot := l.committed(context.WithoutCancel(ctx), r.Table, token); snapshot != 0 {
		return snapshot, nil
	}
	return 0, fmt.Errorf("commit snapshot: %w", err)
}

// difference returns the files of a that are not in b.
func difference(a, b []iceberg.DataFile) []iceberg.DataFile {
	return slices.DeleteFunc(slices.Clone(a), func(f iceberg.DataFile) bool {
		return slices.ContainsFunc(b, func(o iceberg.DataFile) bool { return o.FilePath() == f.FilePath() })
	})
}

// summarise makes the summary of the snapshot, but for the map: what a person wants to read.
func summarise(r table.Replace, token string) iceberg.Properties {
	summary := iceberg.Properties{}
	maps.Copy(summary, r.Summary)
	summary[mapFormatProperty] = mapFormat
	summary[windowProperty] = r.Window.Key()
	summary[commitProperty] = token
	var entry struct {
		Generation json.Number `json:"generation"`
	}
	if json.Unmarshal(r.Entry, &entry) == nil && entry.Generation != "" {
		summary[generationProperty] = entry.Generation.String()
	}
	return summary
}
