package deliver_test

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/deliver"
	"github.com/almanac-data/almanac/functions/internal/deliver/release"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/query"
	"github.com/almanac-data/almanac/functions/internal/snapshot"
	"github.com/almanac-data/almanac/functions/internal/snapshot/snapshottest"
	"github.com/almanac-data/almanac/functions/internal/table"
)

var errCrash = errors.New("crash")

// files has another name than the method of snapshot.Tables.
type files = deliver.Files

// fragile counts every step that touches the world, and fails from the n-th on: before it is done, or after it was done but not acknowledged.
// Nothing works after a crash, as after a kill: what deliver does to clean up fails too.
type fragile struct {
	facts.Journal
	snapshot.Tables
	snapshot.Engine
	files
	deliver.Folders

	steps, at int
	after     bool
}

func step[T any](f *fragile, do func() (T, error)) (T, error) {
	var zero T
	f.steps++
	switch {
	case f.at == 0 || f.steps < f.at:
		return do()
	case f.steps == f.at && f.after:
		if _, err := do(); err != nil {
			return zero, err
		}
	}
	return zero, errCrash
}

func (f *fragile) do(do func() error) error {
	_, err := step(f, func() (struct{}, error) { return struct{}{}, do() })
	return err
}

func (f *fragile) Say(ctx context.Context, evs ...events.Event) error {
	return f.do(func() error { return f.Journal.Say(ctx, evs...) })
}

func (f *fragile) View(ctx context.Context) (*facts.View, error) {
	return step(f, func() (*facts.View, error) { return f.Journal.View(ctx) })
}

func (f *fragile) Head(ctx context.Context, name table.Name) (table.Head, error) {
	return step(f, func() (table.Head, error) { return f.Tables.Head(ctx, name) })
}

func (f *fragile) Run(ctx context.Context, q query.Query) (array.RecordReader, error) {
	f.steps++
	if f.steps >= f.at && f.at > 0 {
		return nil, errCrash
	}
	return f.Engine.Run(ctx, q)
}

func (f *fragile) ReadFile(ctx context.Context, name string) ([]byte, error) {
	return step(f, func() ([]byte, error) { return f.files.ReadFile(ctx, name) })
}

func (f *fragile) WriteFile(ctx context.Context, name string, data []byte) error {
	return f.do(func() error { return f.files.WriteFile(ctx, name, data) })
}

func (f *fragile) MkTemp(ctx context.Context, parent string) (string, error) {
	return step(f, func() (string, error) { return f.Folders.MkTemp(ctx, parent) })
}

func (f *fragile) Publish(ctx context.Context, temp, final string) error {
	return f.do(func() error { return f.Folders.Publish(ctx, temp, final) })
}

func (f *fragile) Discard(ctx context.Context, temp string) error {
	return f.do(func() error { return f.Folders.Discard(ctx, temp) })
}

func (f *fragile) Parquet(ctx context.Context, dir string, schema *arrow.Schema) table.Writer {
	return &fragileWriter{f.files.Parquet(ctx, dir, schema), f}
}

type fragileWriter struct {
	table.Writer

	f *fragile
}

func (w *fragileWriter) Write(batch arrow.RecordBatch) error {
	return w.f.do(func() error { return w.Writer.Write(batch) })
}

func (w *fragileWriter) Finish() ([]events.File, error) {
	return step(w.f, w.Writer.Finish)
}

func (w *fragileWriter) Abort() error { return w.f.do(w.Writer.Abort) }

// fragileCore is the core over a world that fails at a step.
func fragileCore(w *snapshottest.World, at int, after bool) (*deliver.Deliver, *fragile) {
	f := &fragile{Journal: w.Journal, Tables: w.Lake, Engine: w.Engine, files: w.Lake, Folders: w.Lake, at: at, after: after}
	dl := core(w)
	dl.Journal, dl.Tables, dl.Engine, dl.Files, dl.Folders = f, f, f, f, f
	return dl, f
}

// restated is a world whose December has one release and was stored again with other rows. It has no aggregate, since commits take most
// of a test's time.
func restated(t *testing.T) *snapshottest.World {
	t.Helper()
	d := flights()
	d.Releases[0].Inputs, d.Releases[0].SQL = d.Releases[0].Inputs[:1], "SELECT date, origin, delay, CASE WHEN delay > 15 THEN 'test' ELSE 'train' END AS split FROM rows"
	w := snapshottest.New(t, d)
	w.StoreJSON(t, "2001-12", 1, december)
	handle(t, core(w), "2001-12")
	w.StoreJSON(t, "2001-12", 2, strings.Replace(december, "20}", "30}", 1))
	return w
}

func TestACrashAtAnyStepChangesNothingInTheEnd(t *testing.T) { crashes(t, func(*dataset.Query) {}, 15) }

func TestACrashAmongPartsChangesNothingInTheEnd(t *testing.T) {
	crashes(t, func(q *dataset.Query) { q.PartBy, q.PartRows = "date", 1 }, 18)
}

func crashes(t *testing.T, edit func(q *dataset.Query), atLeast int) {
	t.Helper()
	world := func() *snapshottest.World {
		w := restated(t)
		edit(&w.D.Releases[0])
		return w
	}
	undisturbed := world()
	dl, counter := fragileCore(undisturbed, 0, false)
	handle(t, dl, "2001-12")
	want, last := tree(t, undisturbed), said(undisturbed)
	if counter.steps < atLeast {
		t.Fatalf("only %d steps were counted", counter.steps)
	}
	for at := 1; at <= counter.steps; at++ {
		for _, after := range []bool{false, true} {
			w := world()
			dl, _ := fragileCore(w, at, after)
			if err := dl.Handle(context.Background(), due("2001-12")); !errors.Is(err, errCrash) {
				t.Errorf("crash at step %d: Handle = %v", at, err)
			}
			handle(t, core(w), "2001-12")
			handle(t, core(w), "2001-12")
			if got := tree(t, w); got != want {
				t.Errorf("crash at step %d (after it: %v): releases are\n%swant\n%s", at, after, got, want)
			}
			facts := said(w)
			if got := facts[len(facts)-1]; got != last[len(last)-1] {
				t.Errorf("crash at step %d (after it: %v): said %+v, want %+v", at, after, got, last)
			}
		}
	}
}

func TestTheOrderOfArrivalDecidesNothing(t *testing.T) {
	one, other := world(t), snapshottest.New(t, flights())
	handle(t, core(one), "2001-12")
	handle(t, core(one), "2001-11")

	handle(t, core(other), "2001-12") // an event before its time
	other.StoreJSON(t, "2001-12", 1, december)
	aggregated(t, other)
	handle(t, core(other), "2001-12")
	other.StoreJSON(t, "2001-11", 1, november)
	handle(t, core(other), "2001-11")
	aggregated(t, other)
	for _, key := range []string{"2001-11", "2001-12", "2001-11", "2001-12"} {
		handle(t, core(other), key)
	}
	if got, want := tree(t, other), tree(t, one); got != want {
		t.Errorf("releases are\n%swant\n%s", got, want)
	}
}

func TestTwoInstancesAtOnce(t *testing.T) {
	w := world(t)
	errs := make(chan error, 3)
	for range cap(errs) {
		go func() { errs <- core(w).Handle(context.Background(), due("2001-12")) }()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if found, _ := filepath.Glob(w.Sub("releases/flights/*")); len(found) != 1 {
		t.Errorf("releases are %v, want one", found)
	}
	verified(t, w, "training-2001-12.1")
}

func TestAMarkIsKept(t *testing.T) {
	w := restated(t)
	dl, _ := fragileCore(w, 0, false)
	f := &unpublishable{Folders: w.Lake}
	dl.Folders = f
	if err := dl.Handle(context.Background(), due("2001-12")); !errors.Is(err, errCrash) {
		t.Fatalf("Handle = %v", err)
	}
	w.StoreJSON(t, "2001-12", 3, december) // as it was at first
	handle(t, core(w), "2001-12")
	var mark release.Stale
	data, err := w.Lake.ReadFile(context.Background(), "releases/flights/training-2001-12.1.stale.json")
	if err == nil {
		err = json.Unmarshal(data, &mark)
	}
	if err != nil || !w.Exists("releases/flights/"+mark.SupersededBy+"/manifest.json") {
		t.Errorf("mark says %+v, %v, but that release is not there", mark, err)
	}
}

// unpublishable fails to publish.
type unpublishable struct{ deliver.Folders }

func (*unpublishable) Publish(context.Context, string, string) error { return errCrash }
