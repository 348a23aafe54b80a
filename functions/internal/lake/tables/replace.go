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
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/catalog"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/almanac-data/almanac/functions/internal/lake/columns"
	"github.com/almanac-data/almanac/functions/internal/lake/hadoop"
	"github.com/almanac-data/almanac/functions/internal/table"
)

// Replace makes the files the whole content of their windows, in one snapshot, and returns it. Windows whose Done says that nothing
// is to do stay as they are; where all do, the head is returned.
//
// It is tried again until it is committed, Done ends it, the head is not the one demanded (table.ErrMoved), or ctx ends. After a crash at any moment
// the table is as before or as after.
func (l *Tables) Replace(ctx context.Context, r table.Replace) (snapshot int64, err error) {
	if r, err = checked(r); err != nil {
		return 0, fmt.Errorf("replace %s of %s: %w", keysOf(r.Windows), r.Table, err)
	}
	unlock, err := l.lock(ctx, r.Table)
	if err != nil {
		return 0, err
	}
	defer unlock()
	for try := 0; ; try++ {
		snapshot, err = l.replace(ctx, r)
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
		return 0, fmt.Errorf("replace %s of %s: %w", keysOf(r.Windows), r.Table, err)
	}
	return snapshot, nil
}

// checked refuses what can never be committed, and makes the entries compact.
func checked(r table.Replace) (table.Replace, error) {
	if err := check(r.Table); err != nil {
		return r, err
	}
	if r.Schema == nil || !r.Schema.HasField(table.Window) {
		return r, fmt.Errorf("schema has no column %s", table.Window)
	}
	r.Windows = slices.Clone(r.Windows)
	seen := map[string]bool{}
	for i := range r.Windows {
		c := &r.Windows[i]
		if seen[c.Window.Key()] {
			return r, fmt.Errorf("window %s is given twice", c.Window)
		}
		seen[c.Window.Key()] = true
		dir := DataDir(r.Table, c.Window)
		for _, f := range c.Files {
			if want := dir + "/" + f.Digest + ".parquet"; f.Path != want {
				return r, fmt.Errorf("data file %s does not lie at %s", f.Path, want)
			}
		}
		var err error
		if c.Entry, err = compact(c.Entry); err != nil {
			return r, err
		}
	}
	return r, nil
}

// keysOf lists the keys of windows for people.
func keysOf(windows []table.Content) string {
	keys := make([]string, len(windows))
	for i, c := range windows {
		keys[i] = c.Window.Key()
	}
	return strings.Join(keys, ",")
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
func (l *Tables) replace(ctx context.Context, r table.Replace) (int64, error) {
	t, err := l.load(ctx, r.Table)
	if err != nil {
		return 0, err
	}
	head, err := l.headOf(r.Table, t)
	if err != nil {
		return 0, err
	}
	if r.Windows, err = undone(r.Windows, head); err != nil || len(r.Windows) == 0 {
		return head.Snapshot, err
	}
	if r.Head != 0 && head.Snapshot != r.Head {
		return 0, fmt.Errorf("%w: it is %d, want %d", table.ErrMoved, head.Snapshot, r.Head)
	}
	if t, err = l.prepare(ctx, t, r); err != nil {
		return 0, err
	}
	return l.commit(ctx, t, head, r)
}

// undone leaves out the windows of which nothing is to do.
func undone(windows []table.Content, head table.Head) ([]table.Content, error) {
	var rest []table.Content
	for _, c := range windows {
		done := false
		if c.Done != nil {
			var err error
			if done, err = c.Done(head.Entries[c.Window.Key()]); err != nil {
				return nil, err
			}
		}
		if !done {
			rest = append(rest, c)
		}
	}
	return rest, nil
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
	var present []string
	for _, c := range r.Windows {
		if _, ok := head.Entries[c.Window.Key()]; ok {
			present = append(present, c.Window.Key())
		}
	}
	var removed []iceberg.DataFile
	if len(present) > 0 {
		if removed, err = l.dataFiles(ctx, t, head.Snapshot, present); err != nil {
			return 0, err
		}
	}
	// Files that stay are neither added nor removed.
	added, removed = difference(added, removed), difference(removed, added)
	for _, c := range r.Windows {
		head.Entries[c.Window.Key()] = c.Entry
	}
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
	summary[windowProperty] = keysOf(r.Windows)
	summary[commitProperty] = token
	generations := make([]string, len(r.Windows))
	for i, c := range r.Windows {
		var entry struct {
			Generation json.Number `json:"generation"`
		}
		if json.Unmarshal(c.Entry, &entry) != nil || entry.Generation == "" {
			return summary // of an aggregate, which has none
		}
		generations[i] = entry.Generation.String()
	}
	summary[generationProperty] = strings.Join(generations, ",")
	return summary
}
