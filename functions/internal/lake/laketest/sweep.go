package laketest

import (
	"errors"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/lake"
)

// left is what a writer leaves that is killed: a file, a release and a commit in the making.
type left struct {
	file   *lake.File
	folder string
}

func leave(t *testing.T, l *lake.Lake) left {
	t.Helper()
	f, err := l.Create(t.Context(), lake.DataDir(Rows, Day(0)), "", ".parquet")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(make([]byte, 5<<20)); err != nil { // so much that a file system does not hold it back
		t.Fatal(err)
	}
	folder, err := l.MkTemp(t.Context(), "releases/flights")
	if err == nil {
		err = l.WriteFile(t.Context(), folder+"/data/1", []byte("one"))
	}
	for _, name := range []string{"flights/rows/metadata/left-m0.avro", "flights/.staging/.tmp-0"} { // the latter where former writers had what they made
		err = errors.Join(err, l.WriteFile(t.Context(), name, []byte("x")))
	}
	if err != nil {
		t.Fatal(err)
	}
	return left{f, folder}
}

// kinds are what was removed, without random names.
func kinds(t *testing.T, l *lake.Lake, older time.Duration) []string {
	t.Helper()
	removed, err := l.Sweep(t.Context(), older)
	if err != nil {
		t.Errorf("Sweep = %v", err)
	}
	var all []string
	for _, r := range removed {
		if name := path.Base(r.Path); strings.HasPrefix(name, ".tmp-") {
			r.Path = path.Dir(r.Path)
		}
		all = append(all, r.Path)
	}
	slices.Sort(all)
	return all
}

func sweepAbandoned(t *testing.T, open Open) {
	t.Helper()
	dir := t.TempDir()
	l := open(t, dir)
	MustReplace(t, l, Replacing(Day(0), Entry(1), Write(t, l, Day(0), 1, 10)...))
	snapshot := MustReplace(t, l, Replacing(Day(0), Entry(2), Write(t, l, Day(0), 2, 10)...))
	leave(t, l)
	other := open(t, dir)
	if young := kinds(t, other, time.Hour); len(young) != 0 {
		t.Errorf("a sweep of what is older than an hour removed %v", young)
	}
	want := []string{"flights/.staging", "flights/rows/.staging", "flights/rows/metadata/left-m0.avro", "releases/flights"}
	if diff := cmp.Diff(want, kinds(t, other, 0)); diff != "" {
		t.Errorf("swept (-want +got):\n%s", diff)
	}
	if again := kinds(t, other, 0); len(again) != 0 {
		t.Errorf("a second sweep removed %v", again)
	}
	if head := MustHead(t, other); head.Snapshot != snapshot {
		t.Errorf("after a sweep the head is %d, want %d", head.Snapshot, snapshot)
	}
	files := filesOf(t, other, snapshot, Day(0).Key())
	if len(files) != 1 {
		t.Fatalf("Files = %v, want one", files)
	}
	rows, err := other.ReadParquet(t.Context(), files[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := rows.Close(); err != nil {
		t.Error(err)
	}
}

func sweepUnderWriters(t *testing.T, open Open) {
	t.Helper()
	dir := t.TempDir()
	l := open(t, dir)
	at := leave(t, l)
	_ = kinds(t, open(t, dir), 0)
	if f, err := at.file.Finish(); err == nil || errors.Is(err, events.ErrInvalid) {
		t.Errorf("Finish of a file that was swept = %+v, %v, want an error that may pass", f, err)
	}
	// What is written now makes the folder anew, without what was in it.
	if err := l.WriteFile(t.Context(), at.folder+"/manifest.json", []byte("names 1")); err != nil {
		t.Fatal(err)
	}
	err := l.Publish(t.Context(), at.folder, "releases/flights/training-2001-01.1")
	if err == nil || !strings.Contains(err.Error(), "ALMANAC_ABANDONED") {
		t.Errorf("Publish of a folder that was swept = %v, want an error that names the setting", err)
	}
	if err := l.Discard(t.Context(), at.folder); err != nil {
		t.Error(err)
	}
	if again := kinds(t, l, 0); len(again) != 0 {
		t.Errorf("writers left %v after an error", again)
	}
	if all, err := l.List(t.Context(), "releases/flights"); err != nil || len(all) != 0 {
		t.Errorf("List = %v, %v, want no release", all, err)
	}
	MustReplace(t, l, Replacing(Day(0), Entry(1), Write(t, l, Day(0), 1, 10)...))
}
