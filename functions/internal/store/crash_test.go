package store

import (
	"context"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/store/commit"
	"github.com/almanac-data/almanac/functions/internal/table"
	"github.com/almanac-data/almanac/functions/internal/window"
)

func mustWindow(w *world) window.Window {
	win, err := window.Parse("2001-01-05")
	w.must(err)
	return win
}

var errCrash = errors.New("crashed")

// faults counts the steps of a process and ends it at one of them: nothing works from then on. At the step itself the work is
// done before the end if late is set, and is not done otherwise.
type faults struct {
	at    int
	late  bool
	match string // count these steps alone, if set
	n     int
}

func (f *faults) step(name string, do func() error) error {
	if f.match == "" || f.match == name {
		f.n++
	}
	switch {
	case f.n < f.at || f.at == 0:
		return do()
	case f.n == f.at && f.late && (f.match == "" || f.match == name):
		if err := do(); err != nil {
			return err
		}
	}
	return errCrash
}

// failing is every port of a Store, with faults.
type failing struct {
	*faults

	journal facts.Journal
	files   Files
	opener  Opener
	joiner  Joiner
	tables  commit.Tables
}

func (f *failing) Say(ctx context.Context, evs ...events.Event) error {
	return f.step("say", func() error { return f.journal.Say(ctx, evs...) })
}

func (f *failing) Retract(ctx context.Context, e events.Event) error {
	return f.step("retract", func() error { return f.journal.Retract(ctx, e) })
}

func (f *failing) View(ctx context.Context) (v *facts.View, err error) {
	err = f.step("view", func() error { v, err = f.journal.View(ctx); return err })
	return v, err
}

func (f *failing) Parquet(ctx context.Context, dir string, schema *arrow.Schema) table.Writer {
	return &failingWriter{f.faults, f.files.Parquet(ctx, dir, schema)}
}

func (f *failing) File(ctx context.Context, dir, prefix, ext string) (out table.FileWriter, err error) {
	err = f.step("file", func() error { out, err = f.files.File(ctx, dir, prefix, ext); return err })
	return &failingFile{f.faults, out}, err
}

func (f *failing) Scan(ctx context.Context, path string, columns ...string) (r table.Reader, err error) {
	err = f.step("scan", func() error { r, err = f.files.Scan(ctx, path, columns...); return err })
	return r, err
}

func (f *failing) Open(ctx context.Context, path string) (r io.ReadCloser, err error) {
	err = f.step("open", func() error { r, err = f.opener.Open(ctx, path); return err })
	return r, err
}

func (f *failing) Join(ctx context.Context, dir string, files []events.File) (all []events.File, err error) {
	err = f.step("join", func() error { all, err = f.joiner.Join(ctx, dir, files); return err })
	return all, err
}

func (f *failing) Head(ctx context.Context, name table.Name) (h table.Head, err error) {
	err = f.step("head", func() error { h, err = f.tables.Head(ctx, name); return err })
	return h, err
}

func (f *failing) Replace(ctx context.Context, r table.Replace) (snapshot int64, err error) {
	err = f.step("replace "+r.Table.Table, func() error { snapshot, err = f.tables.Replace(ctx, r); return err })
	return snapshot, err
}

type failingWriter struct {
	*faults

	w table.Writer
}

func (f *failingWriter) Write(batch arrow.RecordBatch) error {
	return f.step("write", func() error { return f.w.Write(batch) })
}

func (f *failingWriter) Finish() (files []events.File, err error) {
	err = f.step("finish", func() error { files, err = f.w.Finish(); return err })
	return files, err
}

func (f *failingWriter) Abort() error { return f.w.Abort() } // what a killed process leaves is tested with the lake

type failingFile struct {
	*faults

	w table.FileWriter
}

func (f *failingFile) Write(p []byte) (n int, err error) {
	err = f.step("write", func() error { n, err = f.w.Write(p); return err })
	return n, err
}

func (f *failingFile) Finish() (file events.File, err error) {
	err = f.step("finish", func() error { file, err = f.w.Finish(); return err })
	return file, err
}

func (f *failingFile) Abort() error {
	if f.w == nil {
		return nil
	}
	return f.w.Abort()
}

// before does something once, before the first commit of a table.
type before struct {
	commit.Tables

	name string
	do   func()
}

func (b *before) Replace(ctx context.Context, r table.Replace) (int64, error) {
	if r.Table.Table == b.name && b.do != nil {
		b.do()
		b.do = nil
	}
	return b.Tables.Replace(ctx, r)
}

// crashing runs a world's events by a process that ends at step n, and then again by one that does not.
// It says whether there was such a step.
func (w *world) crashing(at int, late bool, wake []*events.Validated) bool {
	w.t.Helper()
	s := w.store()
	f := &failing{faults: &faults{at: at, late: late}, journal: s.Journal, files: s.Files, opener: s.Opener, joiner: s.Joiner, tables: s.Tables}
	dying := &Store{Journal: f, Blocks: s.Blocks, Datasets: w, Files: f, Opener: f, Joiner: f, Tables: f}
	crashed := false
	for _, ev := range wake {
		if err := dying.Handle(w.t.Context(), ev); err != nil {
			crashed = true
			if !errors.Is(err, errCrash) {
				w.t.Errorf("Handle = %v, want the crash", err)
			}
		}
	}
	w.handle(w.store(), wake...)
	return crashed
}

func TestACrashAtAnyStepLeavesTheSame(t *testing.T) {
	repeated := row{id: 1, at: "01-05 09:00", delay: 3, origin: "AGAIN"}
	for _, late := range []bool{false, true} {
		var want events.Stored
		for n := 0; ; n++ { // the process of the first round does not crash
			w := newWorld(t)
			w.d.Key = []string{"id"}
			crashed := w.crashing(n, late, w.ingest(1, first, append([]row{repeated}, second...)))
			w.wantRows(table.Rows, "id delay _slice _ordinal", "1 5 1 0", "2 null 1 1", "3 -7 1 2", "4 0 2 1", "5 1 2 2")
			w.wantRows(table.Quarantine, "original", "90")
			got, _ := known[events.Stored](w, piece(1))
			if got.Snapshot == 0 || w.snapshots(table.Rows) != 1 || w.snapshots(table.Quarantine) != 1 {
				t.Errorf("it says snapshot %d; %d of rows, %d of quarantine, want one each", got.Snapshot, w.snapshots(table.Rows), w.snapshots(table.Quarantine))
			}
			got.Snapshot = 0
			if n == 0 {
				want = got
			} else if !reflect.DeepEqual(got, want) {
				t.Errorf("it says %+v, want %+v", got, want)
			}
			if t.Failed() {
				t.Fatalf("crash at step %d, late %t", n, late)
			}
			if n > 0 && !crashed {
				t.Logf("%d steps, late %t", n-1, late)
				break
			}
		}
	}
}

func TestACrashWhileAWindowIsStoppedLeavesTheSame(t *testing.T) {
	for n := 1; ; n++ {
		w := newWorld(t)
		w.d.Reject.Rows = 0
		w.d.Reject.Share = 0.1
		crashed := w.crashing(n, n%2 == 0, w.ingest(1, first))
		stopped, ok := known[events.Stopped](w, piece(1))
		if !ok || stopped.Reason != "reject_budget" || !strings.Contains(stopped.Detail, "1 of 4 rows") || w.snapshots(table.Quarantine) > 0 {
			t.Fatalf("crash at step %d: stopped is %+v, %t", n, stopped, ok)
		}
		if !crashed {
			break
		}
	}
}
