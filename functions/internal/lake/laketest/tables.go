package laketest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/lake"
	"github.com/almanac-data/almanac/functions/internal/table"
)

func missing(t *testing.T, open Open) {
	t.Helper()
	l := open(t, t.TempDir())
	head := MustHead(t, l)
	if head.Snapshot != 0 || len(head.Entries) != 0 {
		t.Errorf("Head of a missing table = %+v, want nothing", head)
	}
	if _, err := l.Schema(t.Context(), Rows, 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Schema of a missing table = %v, want fs.ErrNotExist", err)
	}
	if _, err := l.Head(t.Context(), table.Name{Dataset: "..", Table: "x"}); err == nil {
		t.Error("Head of ../x gave no error")
	}
}

func replaceWindow(t *testing.T, open Open) {
	t.Helper()
	l := open(t, t.TempDir())
	old := append(Write(t, l, Day(0), 1, 10), Write(t, l, Day(0), 2, 10)...)
	other := Write(t, l, Day(1), 3, 10)
	MustReplace(t, l, Replacing(Day(0), Entry(1), old...))
	MustReplace(t, l, Replacing(Day(1), Entry(1), other...))
	files := Write(t, l, Day(0), 4, 5)
	snapshot := MustReplace(t, l, Replacing(Day(0), Entry(2), files...))
	if diff := cmp.Diff(files, filesOf(t, l, snapshot, Day(0).Key())); diff != "" {
		t.Errorf("Files (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(other, filesOf(t, l, snapshot, Day(1).Key())); diff != "" {
		t.Errorf("Files of the other window (-want +got):\n%s", diff)
	}
	if head := MustHead(t, l); head.Snapshot != snapshot || string(head.Entries[Day(0).Key()]) != string(Entry(2)) {
		t.Errorf("Head = %+v, want snapshot %d with generation 2", head, snapshot)
	}
}

func replaceWindows(t *testing.T, open Open) {
	t.Helper()
	l := open(t, t.TempDir())
	files := make([][]events.File, 4)
	for i := range files {
		files[i] = Write(t, l, Day(i), i, 10)
	}
	MustReplace(t, l, Replacing(Day(0), Entry(1), files[0]...))
	MustReplace(t, l, Replacing(Day(3), Entry(1), files[3]...))
	r := table.Replace{Table: Rows, Schema: Schema}
	next := [][]events.File{Write(t, l, Day(0), 10, 5), files[1], files[2], nil}
	for i := range next {
		r.Windows = append(r.Windows, table.Content{Window: Day(i), Entry: Entry(2), Files: next[i]})
	}
	r.Windows[2].Done = func(json.RawMessage) (bool, error) { return true, nil }
	before := MustHead(t, l)
	snapshot := MustReplace(t, l, r)
	for i, want := range [][]events.File{next[0], next[1], nil, nil} {
		if diff := cmp.Diff(want, filesOf(t, l, snapshot, Day(i).Key()), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("Files of window %d (-want +got):\n%s", i, diff)
		}
	}
	if head := MustHead(t, l); head.Snapshot != snapshot || len(head.Entries) != 3 || string(head.Entries[Day(3).Key()]) != string(Entry(2)) {
		t.Errorf("Head = %+v, want generation 2 of three windows", head)
	}
	if diff := cmp.Diff(files[3], filesOf(t, l, before.Snapshot, Day(3).Key())); diff != "" {
		t.Errorf("Files at the snapshot before (-want +got):\n%s", diff)
	}
	r.Windows = append(r.Windows, r.Windows[0])
	if _, err := l.Replace(t.Context(), r); err == nil || !strings.Contains(err.Error(), "given twice") {
		t.Errorf("Replace of a window twice = %v", err)
	}
}

func empty(t *testing.T, open Open) {
	t.Helper()
	l := open(t, t.TempDir())
	first := MustReplace(t, l, Replacing(Day(0), Entry(1)))
	if first == 0 || len(MustHead(t, l).Entries) != 1 {
		t.Errorf("a window without files is not in the map")
	}
	MustReplace(t, l, Replacing(Day(0), Entry(2), Write(t, l, Day(0), 1, 10)...))
	last := MustReplace(t, l, Replacing(Day(0), Entry(3)))
	if files := filesOf(t, l, last, Day(0).Key()); len(files) != 0 {
		t.Errorf("Files = %v, want none", files)
	}
	if head := MustHead(t, l); string(head.Entries[Day(0).Key()]) != string(Entry(3)) {
		t.Errorf("Head = %+v, want generation 3", head)
	}
}

func done(t *testing.T, open Open) {
	t.Helper()
	l := open(t, t.TempDir())
	r := Replacing(Day(0), Entry(1), Write(t, l, Day(0), 1, 10)...)
	r.Windows[0].Done = func(present json.RawMessage) (bool, error) { return string(present) == string(Entry(1)), nil }
	first := MustReplace(t, l, r)
	r.Head = 42 // what is done is done, wherever the head is
	second, err := l.Replace(t.Context(), r)
	if err != nil || second != first {
		t.Errorf("Replace of what is done = %d, %v, want %d", second, err, first)
	}
	broken := errors.New("broken")
	r.Windows[0].Done = func(json.RawMessage) (bool, error) { return false, broken }
	_, err = l.Replace(t.Context(), r)
	wantErr(t, err, broken, "Replace with an error of Done")
}

func moved(t *testing.T, open Open) {
	t.Helper()
	l := open(t, t.TempDir())
	first := MustReplace(t, l, Replacing(Day(0), Entry(1)))
	second := MustReplace(t, l, Replacing(Day(1), Entry(1)))
	r := Replacing(Day(2), Entry(1))
	r.Head = first
	_, err := l.Replace(t.Context(), r)
	wantErr(t, err, table.ErrMoved, "Replace on the head before")
	r.Head = second
	MustReplace(t, l, r)
}

func evolve(t *testing.T, open Open) {
	t.Helper()
	l := open(t, t.TempDir())
	first := MustReplace(t, l, Replacing(Day(0), Entry(1), Write(t, l, Day(0), 1, 10)...))
	// The new column stands in front of the others.
	fields := append([]arrow.Field{{Name: "carrier", Type: arrow.BinaryTypes.String, Nullable: true}}, Schema.Fields()...)
	wider := arrow.NewSchema(fields, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, wider)
	defer b.Release()
	b.Field(0).(*array.StringBuilder).Append("AA")
	b.Field(1).(*array.Int64Builder).Append(1)
	b.Field(2).(*array.StringBuilder).Append("ATL")
	b.Field(3).(*array.TimestampBuilder).Append(arrow.Timestamp(Day(1).Start.UnixMicro()))
	r := Replacing(Day(1), Entry(1), WriteBatches(t, l, lake.DataDir(Rows, Day(1)), b.NewRecordBatch())...)
	r.Schema = wider
	second := MustReplace(t, l, r)
	// Rows of the old form can still be written.
	MustReplace(t, l, Replacing(Day(2), Entry(1), Write(t, l, Day(2), 1, 10)...))
	for snapshot, want := range map[int64]string{first: "delay origin _window", second: "delay origin _window carrier", 0: "delay origin _window carrier"} {
		schema, err := l.Schema(t.Context(), Rows, snapshot)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range schema.Fields() {
			names = append(names, f.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("Schema(%d) has %s, want %s", snapshot, got, want)
		}
	}
}

func keepType(t *testing.T, open Open) {
	t.Helper()
	l := open(t, t.TempDir())
	MustReplace(t, l, Replacing(Day(0), Entry(1)))
	fields := Schema.Fields()
	fields[0].Type = arrow.PrimitiveTypes.Float64
	r := Replacing(Day(1), Entry(1))
	r.Schema = arrow.NewSchema(fields, nil)
	if _, err := l.Replace(t.Context(), r); err == nil || !strings.Contains(err.Error(), "column delay is long in the table and double") {
		t.Errorf("Replace with another type = %v, want an error that names column and types", err)
	}
}

// race lets writers, each as if in a process of its own, commit at once. Each commit adds its name to what the entry of its window
// says, so that a lost commit leaves a gap and a doubled one shows twice.
func race(writers, commits, windows int) func(*testing.T, Open) {
	return func(t *testing.T, open Open) {
		t.Helper()
		dir := t.TempDir()
		MustReplace(t, open(t, dir), Replacing(Day(0), json.RawMessage(`[]`))) // so that there is a head that can move
		var all sync.WaitGroup
		var acknowledged atomic.Int64
		for w := range writers {
			l := open(t, dir)
			all.Go(func() {
				for i := range commits {
					day := Day((w*commits + i) % windows)
					files := Write(t, l, day, w*1000+i, 3)
					if err := addName(t.Context(), l, Replacing(day, nil, files...), fmt.Sprintf("%d/%d", w, i)); err != nil {
						t.Errorf("Replace = %v", err)
						return
					}
					acknowledged.Add(1)
				}
			})
		}
		all.Wait()
		l := open(t, dir)
		head := MustHead(t, l)
		seen := map[string]int{}
		for key, entry := range head.Entries {
			for _, name := range namesIn(entry) {
				if seen[name]++; seen[name] > 1 {
					t.Errorf("%s stands twice, also in %s", name, key)
				}
			}
			if n := len(filesOf(t, l, head.Snapshot, key)); n != 1 {
				t.Errorf("window %s has %d files, want that of its last commit", key, n)
			}
		}
		if int64(len(seen)) != acknowledged.Load() || len(seen) != writers*commits {
			t.Errorf("the map names %d commits, acknowledged are %d of %d", len(seen), acknowledged.Load(), writers*commits)
		}
	}
}

// addName commits an entry that has one name more than the present one, on a head that has not moved.
func addName(ctx context.Context, l *lake.Lake, r table.Replace, name string) error {
	for {
		head, err := l.Head(ctx, r.Table)
		if err != nil {
			return err
		}
		r.Head = head.Snapshot
		if r.Windows[0].Entry, err = json.Marshal(append(namesIn(head.Entries[r.Windows[0].Window.Key()]), name)); err != nil {
			return err
		}
		if _, err = l.Replace(ctx, r); !errors.Is(err, table.ErrMoved) {
			return err
		}
	}
}

// namesIn reads the names in an entry; without one there are none.
func namesIn(entry json.RawMessage) []string {
	var names []string
	_ = json.Unmarshal(entry, &names)
	return names
}

func many(commits int) func(*testing.T, Open) {
	return func(t *testing.T, open Open) {
		t.Helper()
		l := open(t, t.TempDir())
		for i := range commits {
			MustReplace(t, l, Replacing(Day(i), Entry(i)))
		}
		head := MustHead(t, l)
		if len(head.Entries) != commits {
			t.Fatalf("the map has %d windows, want %d", len(head.Entries), commits)
		}
		for i := range commits {
			if got := string(head.Entries[Day(i).Key()]); got != string(Entry(i)) {
				t.Fatalf("entry of %s is %s, want %s", Day(i), got, Entry(i))
			}
		}
	}
}

func wrongFile(t *testing.T, open Open) {
	t.Helper()
	l := open(t, t.TempDir())
	good := Write(t, l, Day(0), 1, 10)[0]
	for name, change := range map[string]func() table.Replace{
		"missing": func() table.Replace {
			f := good
			f.Digest = strings.Repeat("0", 64)
			f.Path = lake.DataDir(Rows, Day(0)) + "/" + f.Digest + ".parquet"
			return Replacing(Day(0), Entry(1), f)
		},
		"other size":   func() table.Replace { f := good; f.Bytes++; return Replacing(Day(0), Entry(1), f) },
		"other rows":   func() table.Replace { f := good; f.Rows++; return Replacing(Day(0), Entry(1), f) },
		"other window": func() table.Replace { return Replacing(Day(1), Entry(1), good) },
		"no entry":     func() table.Replace { return Replacing(Day(0), nil, good) },
		"no schema":    func() table.Replace { r := Replacing(Day(0), Entry(1), good); r.Schema = nil; return r },
	} {
		if _, err := l.Replace(t.Context(), change()); err == nil {
			t.Errorf("Replace with a file of %s gave no error", name)
		}
	}
	if head := MustHead(t, l); head.Snapshot != 0 {
		t.Errorf("Head = %+v, want nothing committed", head)
	}
}

func earlier(t *testing.T, open Open) {
	t.Helper()
	l := open(t, t.TempDir())
	old := Write(t, l, Day(0), 1, 10)
	first := MustReplace(t, l, Replacing(Day(0), Entry(1), old...))
	MustReplace(t, l, Replacing(Day(0), Entry(2), Write(t, l, Day(0), 2, 10)...))
	if diff := cmp.Diff(old, filesOf(t, l, first, Day(0).Key())); diff != "" {
		t.Errorf("Files at the first snapshot (-want +got):\n%s", diff)
	}
}

func expired(t *testing.T, open Open) {
	t.Helper()
	l := open(t, t.TempDir())
	first := MustReplace(t, l, Replacing(Day(0), Entry(1), Write(t, l, Day(0), 1, 10)...))
	for i := range 40 {
		MustReplace(t, l, Replacing(Day(1), Entry(i)))
	}
	_, err := l.Files(t.Context(), Rows, first, []string{Day(0).Key()})
	wantErr(t, err, fs.ErrNotExist, "Files at an expired snapshot")
	_, err = l.Schema(t.Context(), Rows, first)
	wantErr(t, err, fs.ErrNotExist, "Schema at an expired snapshot")
	if n := len(filesOf(t, l, MustHead(t, l).Snapshot, Day(0).Key())); n != 1 {
		t.Errorf("the first window has %d files now, want 1", n)
	}
}

func entryKept(t *testing.T, open Open) {
	t.Helper()
	l := open(t, t.TempDir())
	entry := json.RawMessage(`{"b":1,"a":"<ä&>","n":12345678901234567890,"nested":{"z":[],"y":null}}`)
	MustReplace(t, l, Replacing(Day(0), entry))
	if got := string(MustHead(t, l).Entries[Day(0).Key()]); got != string(entry) {
		t.Errorf("entry is %s, want %s", got, entry)
	}
}

func cancelled(t *testing.T, open Open) {
	t.Helper()
	l := open(t, t.TempDir())
	first := MustReplace(t, l, Replacing(Day(0), Entry(1)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := l.Replace(ctx, Replacing(Day(0), Entry(2)))
	wantErr(t, err, context.Canceled, "Replace")
	if head := MustHead(t, l); head.Snapshot != first {
		t.Errorf("Head = %+v, want snapshot %d", head, first)
	}
}

func severalWindows(t *testing.T, open Open) {
	t.Helper()
	l := open(t, t.TempDir())
	var snapshot int64
	for i := range 10 {
		snapshot = MustReplace(t, l, Replacing(Day(i), Entry(1), Write(t, l, Day(i), i, 10)...))
	}
	files := filesOf(t, l, snapshot, Day(2).Key(), Day(7).Key(), Day(100).Key())
	if len(files) != 2 || !strings.Contains(files[0].Path, Day(2).Key()) || !strings.Contains(files[1].Path, Day(7).Key()) {
		t.Errorf("Files = %v, want those of two windows", files)
	}
	if files := filesOf(t, l, snapshot); files != nil {
		t.Errorf("Files of no window = %v", files)
	}
}

func tables(t *testing.T, open Open) {
	t.Helper()
	l := open(t, t.TempDir())
	names, err := l.TablesOf(t.Context(), "flights")
	if err != nil || len(names) != 0 {
		t.Errorf("Tables = %v, %v, want none", names, err)
	}
	MustReplace(t, l, Replacing(Day(0), Entry(1)))
	r := Replacing(Day(0), Entry(1))
	r.Table.Table = table.Quarantine
	MustReplace(t, l, r)
	if err := l.WriteFile(t.Context(), "flights/raw/x", nil); err != nil {
		t.Fatal(err)
	}
	names, err = l.TablesOf(t.Context(), "flights")
	if diff := cmp.Diff([]string{"quarantine", "rows"}, names); diff != "" || err != nil {
		t.Errorf("Tables (-want +got):\n%s%v", diff, err)
	}
}

func sameFile(t *testing.T, open Open) {
	t.Helper()
	l := open(t, t.TempDir())
	stays := Write(t, l, Day(0), 1, 10)
	MustReplace(t, l, Replacing(Day(0), Entry(1), append(Write(t, l, Day(0), 2, 10), stays...)...))
	snapshot := MustReplace(t, l, Replacing(Day(0), Entry(2), stays...))
	if diff := cmp.Diff(stays, filesOf(t, l, snapshot, Day(0).Key())); diff != "" {
		t.Errorf("Files (-want +got):\n%s", diff)
	}
	MustReplace(t, l, Replacing(Day(0), Entry(3), stays...))
	if diff := cmp.Diff(stays, filesOf(t, l, MustHead(t, l).Snapshot, Day(0).Key())); diff != "" {
		t.Errorf("Files (-want +got):\n%s", diff)
	}
}
