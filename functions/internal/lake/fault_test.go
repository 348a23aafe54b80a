package lake_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	icecatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/catalog/hadoop"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/almanac-data/almanac/functions/internal/lake"
	"github.com/almanac-data/almanac/functions/internal/lake/fsys"
	"github.com/almanac-data/almanac/functions/internal/lake/laketest"
	"github.com/almanac-data/almanac/functions/internal/table"
)

// faulty is a file system with something before or after the rename that is a commit.
type faulty struct {
	*fsys.Local

	before func() error
	after  func() error
	create func(name string) error
	list   func(name string)
}

func (f *faulty) ReadDir(name string) ([]fs.DirEntry, error) {
	if f.list != nil {
		f.list(name)
	}
	return f.Local.ReadDir(name)
}

func (f *faulty) RenameNew(old, name string) error {
	if f.before != nil && strings.HasSuffix(name, ".metadata.json") {
		if err := f.before(); err != nil {
			return err
		}
	}
	if err := f.Local.RenameNew(old, name); err != nil {
		return err
	}
	if f.after != nil && strings.HasSuffix(name, ".metadata.json") {
		return f.after()
	}
	return nil
}

func (f *faulty) Create(name string) (fsys.Writer, error) {
	if f.create != nil {
		if err := f.create(name); err != nil {
			return nil, err
		}
	}
	return f.Local.Create(name)
}

func openFaulty(t *testing.T, dir string) (*lake.Lake, *faulty) {
	t.Helper()
	local, err := fsys.OpenLocal(dir)
	if err != nil {
		t.Fatal(err)
	}
	f := &faulty{Local: local}
	return lake.OpenOn(f), f
}

func TestCommitWhoseAnswerIsLostIsFound(t *testing.T) {
	l, f := openFaulty(t, t.TempDir())
	laketest.MustReplace(t, l, laketest.Replacing(laketest.Day(0), laketest.Entry(1)))
	f.after = func() error { return syscall.EIO }
	snapshot := laketest.MustReplace(t, l, laketest.Replacing(laketest.Day(0), laketest.Entry(2)))
	f.after = nil
	if head := laketest.MustHead(t, l); head.Snapshot != snapshot || string(head.Entries[laketest.Day(0).Key()]) != string(laketest.Entry(2)) {
		t.Errorf("Head = %+v, want snapshot %d of generation 2", head, snapshot)
	}
}

func TestCommitThatFailsLeavesTheTableAsItWas(t *testing.T) {
	l, f := openFaulty(t, t.TempDir())
	first := laketest.MustReplace(t, l, laketest.Replacing(laketest.Day(0), laketest.Entry(1)))
	for name, fail := range map[string]func(){
		"rename": func() { f.before = func() error { return syscall.EIO } },
		"full disk": func() {
			f.create = func(string) error { return syscall.ENOSPC }
		},
	} {
		fail()
		if _, err := l.Replace(t.Context(), laketest.Replacing(laketest.Day(0), laketest.Entry(2))); !errors.Is(err, syscall.EIO) && !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Replace with a failing %s = %v", name, err)
		}
		f.before, f.create = nil, nil
		if head := laketest.MustHead(t, l); head.Snapshot != first {
			t.Errorf("after a failing %s the head is %+v, want snapshot %d", name, head, first)
		}
	}
	laketest.MustReplace(t, l, laketest.Replacing(laketest.Day(0), laketest.Entry(2)))
}

// A writer that sleeps before its rename, until the version that it wants was made and deleted again by others, must not believe that it has committed.
func TestSleeperDoesNotCommitIntoTheGap(t *testing.T) {
	dir := t.TempDir()
	sleeper, f := openFaulty(t, dir)
	laketest.MustReplace(t, sleeper, laketest.Replacing(laketest.Day(0), laketest.Entry(1)))
	f.before = func() error {
		f.before = nil
		awake := open(t, dir)
		for i := range 60 {
			laketest.MustReplace(t, awake, laketest.Replacing(laketest.Day(1), laketest.Entry(i)))
		}
		return nil
	}
	snapshot := laketest.MustReplace(t, sleeper, laketest.Replacing(laketest.Day(0), laketest.Entry(2)))
	head := laketest.MustHead(t, open(t, dir))
	if head.Snapshot != snapshot || string(head.Entries[laketest.Day(0).Key()]) != string(laketest.Entry(2)) || string(head.Entries[laketest.Day(1).Key()]) != string(laketest.Entry(59)) {
		t.Errorf("Head = %+v, want both writers' last entries at snapshot %d", head, snapshot)
	}
	if sleeper.Retries() != 1 {
		t.Errorf("Retries() = %d, want 1", sleeper.Retries())
	}
}

// What adds columns makes no snapshot by which it could be found again.
func TestSleeperDoesNotAddColumnsIntoTheGap(t *testing.T) {
	dir := t.TempDir()
	sleeper, f := openFaulty(t, dir)
	first := laketest.MustReplace(t, sleeper, laketest.Replacing(laketest.Day(0), laketest.Entry(1)))
	f.before = func() error {
		f.before = nil
		awake := open(t, dir)
		for i := range 60 {
			laketest.MustReplace(t, awake, laketest.Replacing(laketest.Day(1), laketest.Entry(i)))
		}
		return nil
	}
	r := laketest.Replacing(laketest.Day(0), laketest.Entry(2))
	r.Schema = arrow.NewSchema(append(slices.Clone(laketest.Schema.Fields()), arrow.Field{Name: "carrier", Type: arrow.BinaryTypes.String, Nullable: true}), nil)
	snapshot := laketest.MustReplace(t, sleeper, r)
	schema, err := open(t, dir).Schema(t.Context(), laketest.Rows, snapshot)
	if err != nil {
		t.Fatal(err)
	}
	if len(schema.FieldIndices("carrier")) != 1 || snapshot == first {
		t.Errorf("the table at snapshot %d has %s, want the new column in it", snapshot, schema)
	}
}

// A sweep takes the manifests of a commit that is under way, at its worst moments: before it looks for the newest version, and before it renames.
func TestCommitUnderASweepIsBegunAnew(t *testing.T) {
	for name, arm := range map[string]func(f *faulty, sweep func()){
		"before the last look": func(f *faulty, sweep func()) {
			looks := 0
			f.list = func(string) {
				if looks++; looks == 2 {
					sweep()
				}
			}
		},
		"before the rename": func(f *faulty, sweep func()) { f.before = func() error { sweep(); return nil } },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l, f := openFaulty(t, dir)
			laketest.MustReplace(t, l, laketest.Replacing(laketest.Day(0), laketest.Entry(1), laketest.Write(t, l, laketest.Day(0), 1, 10)...))
			files := laketest.Write(t, l, laketest.Day(1), 2, 10)
			arm(f, func() {
				f.before, f.list = nil, nil
				removed, err := open(t, dir).Sweep(t.Context(), 0)
				if err != nil || len(removed) < 2 {
					t.Errorf("Sweep = %v, %v, want a manifest and its list at least", removed, err)
				}
			})
			snapshot := laketest.MustReplace(t, l, laketest.Replacing(laketest.Day(1), laketest.Entry(1), files...))
			if l.Retries() != 1 {
				t.Errorf("Retries() = %d, want 1", l.Retries())
			}
			for day := range 2 {
				got, err := open(t, dir).Files(t.Context(), laketest.Rows, snapshot, []string{laketest.Day(day).Key()})
				if err != nil || len(got) != 1 {
					t.Errorf("Files of day %d = %v, %v, want one", day, got, err)
				}
			}
		})
	}
}

func TestConflictAsksDoneAgain(t *testing.T) {
	dir := t.TempDir()
	l, f := openFaulty(t, dir)
	laketest.MustReplace(t, l, laketest.Replacing(laketest.Day(1), laketest.Entry(1)))
	r := laketest.Replacing(laketest.Day(0), laketest.Entry(1))
	r.Windows[0].Done = func(present json.RawMessage) (bool, error) { return present != nil, nil }
	var won int64
	f.before = func() error {
		f.before = nil
		won = laketest.MustReplace(t, open(t, dir), laketest.Replacing(laketest.Day(0), laketest.Entry(1, "other")))
		return nil
	}
	snapshot, err := l.Replace(t.Context(), r)
	if err != nil || snapshot != won {
		t.Errorf("Replace = %d, %v, want the other's snapshot %d", snapshot, err, won)
	}
}

// The tables can be read and written by iceberg-go's own Hadoop catalog; rows that it writes have no map.
func TestRowsOfAnotherProgramAreNoticed(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	files := laketest.Write(t, l, laketest.Day(0), 1, 10)
	laketest.MustReplace(t, l, laketest.Replacing(laketest.Day(0), laketest.Entry(1), files...))
	foreign, err := hadoop.NewCatalog("other", dir, iceberg.Properties{})
	if err != nil {
		t.Fatal(err)
	}
	var catalog icecatalog.Catalog = foreign
	theirs, err := catalog.LoadTable(t.Context(), icetable.Identifier{"flights", "rows"})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := theirs.Scan().ToArrowTable(t.Context())
	if err != nil || rows.NumRows() != 10 {
		t.Fatalf("the other catalog reads %v, %v, want 10 rows", rows, err)
	}
	// Rows of our form, but not by us.
	more := laketest.Write(t, l, laketest.Day(1), 2, 5)
	tx := theirs.NewTransaction()
	if err := tx.AddFiles(t.Context(), []string{"file://" + l.URI(more[0].Path)}, nil, false); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err = l.Head(t.Context(), laketest.Rows)
	if !errors.Is(err, table.ErrNoMap) || !strings.Contains(err.Error(), "roll the table back") {
		t.Errorf("Head = %v, want table.ErrNoMap and what to do", err)
	}
	if _, err := l.Replace(context.WithoutCancel(t.Context()), laketest.Replacing(laketest.Day(2), laketest.Entry(1))); !errors.Is(err, table.ErrNoMap) {
		t.Errorf("Replace = %v, want table.ErrNoMap", err)
	}
}
