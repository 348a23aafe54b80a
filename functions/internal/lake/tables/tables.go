// Package tables keeps Iceberg tables whose windows are replaced whole, and whose snapshots carry the map of all windows.
package tables

import (
	"context"
	"fmt"
	iofs "io/fs"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/almanac-data/almanac/functions/internal/lake/fsys"
	"github.com/almanac-data/almanac/functions/internal/lake/hadoop"
	"github.com/almanac-data/almanac/functions/internal/table"
)

// Tables are the tables of a warehouse. They are safe for concurrent use, also of several processes over one warehouse.
type Tables struct {
	fs      fsys.FS
	catalog *hadoop.Catalog
	keep    int // snapshots

	retries atomic.Int64
	mu      sync.Mutex
	locks   map[table.Name]chan struct{}
	heads   map[table.Name]table.Head // last seen
}

// New returns the tables of the warehouse on the file system, which keep so many snapshots.
func New(fs fsys.FS, keep int) *Tables {
	return &Tables{
		fs: fs, catalog: hadoop.New(fs, mapProperty), keep: keep,
		locks: map[table.Name]chan struct{}{}, heads: map[table.Name]table.Head{},
	}
}

// Retries counts the commits that were done again because another came first.
func (l *Tables) Retries() int64 { return l.retries.Load() }

// lock waits for the table's turn within this process. Commits of other processes are met by the commit loop.
func (l *Tables) lock(ctx context.Context, name table.Name) (unlock func(), err error) {
	l.mu.Lock()
	turn := l.locks[name]
	if turn == nil {
		turn = make(chan struct{}, 1)
		l.locks[name] = turn
	}
	l.mu.Unlock()
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the turn to commit %s: %w", name, context.Cause(ctx))
	}
}

// check refuses names that are not one folder each.
func check(name table.Name) error {
	for _, part := range []string{name.Dataset, name.Table} {
		if clean, err := fsys.Clean(part); err != nil || clean != part || part == "." || strings.Contains(part, "/") {
			return fmt.Errorf("table %q of dataset %q has no name for a folder: %w", name.Table, name.Dataset, iofs.ErrInvalid)
		}
	}
	return nil
}

// TablesOf lists the names of a dataset's tables, sorted.
func (l *Tables) TablesOf(ctx context.Context, dataset string) ([]string, error) {
	if err := check(table.Name{Dataset: dataset, Table: "x"}); err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	return l.catalog.Tables(ctx, dataset)
}
