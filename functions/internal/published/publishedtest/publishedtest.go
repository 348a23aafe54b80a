// Package publishedtest is the conformance suite of a warehouse that datasets are published in.
package publishedtest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/almanac-data/almanac/functions/internal/published"
)

// Open opens the warehouse of a folder; several may be open at once, as if by several processes.
type Open func(tb testing.TB, dir string) published.Warehouse

// Most is a bound of bytes that no folder of the suite comes near.
const Most = 1 << 20

// Run runs the whole suite.
func Run(t *testing.T, open Open) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Open){
		"a folder comes back as it was published":               roundTrip,
		"the same content again is no new version":              twice,
		"an earlier version may become current again":           back,
		"a withdrawn dataset comes back by publishing it":       withdraw,
		"several publishers at once have one order":             race,
		"several publishers of the same make one record":        raceOfSame,
		"a version that was changed is refused":                 tampered,
		"a history that was changed is refused":                 forged,
		"what was never published is not found":                 missing,
		"a version beyond the bound is refused before it comes": bounded,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open)
		})
	}
}

// Folder makes a folder of a dataset with the given files.
func Folder(tb testing.TB, dataset string, files map[string]string) string {
	tb.Helper()
	dir := filepath.Join(tb.TempDir(), dataset)
	for name, text := range files {
		at := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o700), os.WriteFile(at, []byte(text), 0o600)); err != nil {
			tb.Fatal(err)
		}
	}
	return dir
}

// files are those of version n of the dataset.
func files(n int) map[string]string {
	return map[string]string{
		"contract.yaml": fmt.Sprintf("version: %d.0.0\n", n), "pipeline.yaml": "kind: Pipeline\n", "a-b.txt": "beside a folder a", "a/b.sql": "SELECT 1",
		"sample/2001/01.csv": strings.Repeat("1,2,3\n", 10*n), "sample/empty.csv": "", ".git/config": "hidden", "sample/.01.csv.swp": "hidden",
	}
}

// by is a record as the n-th publisher gives it.
func by(n int) published.Record {
	return published.Record{
		Contract: fmt.Sprintf("%d.0.0", n), Definition: "d", By: fmt.Sprintf("user%d@host", n), Code: "test", At: time.Date(2026, 11, 1, 0, 0, n, 0, time.UTC),
	}
}

// Put publishes a folder.
func Put(tb testing.TB, w published.Warehouse, dir string, r published.Record) (published.Outcome, error) {
	tb.Helper()
	m, err := published.Describe(dir, Most)
	if err != nil {
		tb.Fatal(err)
	}
	return published.Put(tb.Context(), w, dir, m, r)
}

func mustPut(tb testing.TB, w published.Warehouse, dir string, r published.Record) published.Outcome {
	tb.Helper()
	out, err := Put(tb, w, dir, r)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func history(tb testing.TB, w published.Warehouse) []published.Record {
	tb.Helper()
	all, err := published.History(w.FS(published.Root), "flights")
	if err != nil {
		tb.Fatal(err)
	}
	return all
}

func roundTrip(t *testing.T, open Open) {
	t.Helper()
	w := open(t, t.TempDir())
	dir := Folder(t, "flights", files(1))
	out := mustPut(t, w, dir, by(1))
	got, err := published.Last(w.FS(published.Root), "flights")
	if err != nil || got.Version != out.Record.Version || !out.Done || out.Before != nil {
		t.Fatalf("Last = %+v, %v after Put = %+v", got, err, out)
	}
	if got.Number != 1 || got.Files != 6 || got.By != "user1@host" || got.Contract != "1.0.0" || got.Previous != "" || got.Withdrawn() {
		t.Errorf("the record is %+v", got)
	}
	to := filepath.Join(t.TempDir(), "copy")
	if _, err := published.Fetch(w.FS(published.Root), "flights", got.Version, to, Most); err != nil {
		t.Fatal(err)
	}
	for name, want := range files(1) {
		text, err := os.ReadFile(filepath.Join(to, filepath.FromSlash(name)))
		if hidden := strings.Contains(name, "/.") || strings.HasPrefix(name, "."); hidden {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s is hidden and was published: %v", name, err)
			}
		} else if err != nil || string(text) != want {
			t.Errorf("%s is %q, %v; want %q", name, text, err, want)
		}
	}
	if heads, err := published.Heads(w.FS(published.Root)); err != nil || len(heads) != 1 || heads["flights"] != 1 {
		t.Errorf("Heads = %v, %v, want flights at 1", heads, err)
	}
}

func twice(t *testing.T, open Open) {
	t.Helper()
	w := open(t, t.TempDir())
	first := mustPut(t, w, Folder(t, "flights", files(1)), by(1))
	second := mustPut(t, w, Folder(t, "flights", files(1)), by(2)) // another copy of the folder, with other times
	if second.Done || second.Record.Number != 1 || second.Record.By != first.Record.By || len(history(t, w)) != 1 {
		t.Errorf("Put of the same = %+v, want nothing done after %+v", second, first.Record)
	}
}

func back(t *testing.T, open Open) {
	t.Helper()
	w := open(t, t.TempDir())
	one, two := Folder(t, "flights", files(1)), Folder(t, "flights", files(2))
	first := mustPut(t, w, one, by(1))
	second := mustPut(t, w, two, by(2))
	third := mustPut(t, w, one, by(3))
	if second.Record.Version == first.Record.Version || third.Record.Version != first.Record.Version || !third.Done || third.Record.Number != 3 {
		t.Errorf("Put = %+v, %+v, %+v", first.Record, second.Record, third.Record)
	}
	all := history(t, w)
	if len(all) != 3 || all[0].Version != first.Record.Version || all[2].By != "user3@host" || second.Before.Number != 1 {
		t.Errorf("History = %+v", all)
	}
}

func withdraw(t *testing.T, open Open) {
	t.Helper()
	w := open(t, t.TempDir())
	if _, err := published.Take(t.Context(), w, "flights", by(1)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Take of what is not there = %v, want fs.ErrNotExist", err)
	}
	dir := Folder(t, "flights", files(1))
	put := mustPut(t, w, dir, by(1))
	for i := range 2 {
		out, err := published.Take(t.Context(), w, "flights", by(2))
		if err != nil || out.Done != (i == 0) || !out.Record.Withdrawn() || out.Record.Version != put.Record.Version || out.Record.By != "user2@host" {
			t.Errorf("Take = %+v, %v", out, err)
		}
	}
	if out := mustPut(t, w, dir, by(3)); !out.Done || out.Record.Withdrawn() || out.Record.Number != 3 {
		t.Errorf("Put of a withdrawn dataset = %+v", out)
	}
}

func race(t *testing.T, open Open) {
	t.Helper()
	dir := t.TempDir()
	const publishers = 6
	var all sync.WaitGroup
	outs := make([]published.Outcome, publishers)
	for i := range publishers {
		w, folder := open(t, dir), Folder(t, "flights", files(i+1))
		all.Go(func() {
			var err error
			if outs[i], err = Put(t, w, folder, by(i)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	w := open(t, dir)
	records := history(t, w)
	if len(records) != publishers {
		t.Fatalf("%d records of %d publishers", len(records), publishers)
	}
	for i, out := range outs {
		if r := records[out.Record.Number-1]; !out.Done || r.Version != out.Record.Version || r.By != fmt.Sprintf("user%d@host", i) {
			t.Errorf("publisher %d was told %+v, the history has %+v", i, out.Record, r)
		}
		if _, err := published.Verify(w.FS(published.Root), "flights", out.Record.Version); err != nil {
			t.Error(err)
		}
	}
}

func raceOfSame(t *testing.T, open Open) {
	t.Helper()
	dir := t.TempDir()
	var all sync.WaitGroup
	for i := range 6 {
		w, folder := open(t, dir), Folder(t, "flights", files(1))
		all.Go(func() {
			if _, err := Put(t, w, folder, by(i)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if records := history(t, open(t, dir)); len(records) != 1 {
		t.Errorf("the history is %+v, want one record", records)
	}
}

func tampered(t *testing.T, open Open) {
	t.Helper()
	w := open(t, t.TempDir())
	dir := Folder(t, "flights", files(1))
	version := path.Join("flights", mustPut(t, w, dir, by(1)).Record.Version)
	for name, text := range map[string]string{"files/sample/2001/01.csv": strings.Repeat("1,2,4\n", 10), "manifest.json": `{"format":"almanac.dataset/1","dataset":"flights"}`} {
		was, err := fs.ReadFile(w.FS(published.Root), path.Join(version, name))
		if err == nil {
			err = w.WriteFile(t.Context(), path.Join(published.Root, version, name), []byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
		_, err = published.Fetch(w.FS(published.Root), "flights", path.Base(version), filepath.Join(t.TempDir(), "copy"), Most)
		if err == nil || !strings.Contains(err.Error(), path.Base(name)) {
			t.Errorf("after %s was changed Fetch = %v", name, err)
		}
		if _, err := Put(t, w, dir, by(2)); err == nil || !strings.Contains(err.Error(), "move the folder "+path.Join(published.Root, version)) {
			t.Errorf("after %s was changed Put = %v", name, err)
		}
		if err := w.WriteFile(t.Context(), path.Join(published.Root, version, name), was); err != nil {
			t.Fatal(err)
		}
	}
}

func forged(t *testing.T, open Open) {
	t.Helper()
	w := open(t, t.TempDir())
	for n := range 3 {
		mustPut(t, w, Folder(t, "flights", files(n+1)), by(n))
	}
	name := published.Root + "/flights/history/00000002.json"
	was, err := fs.ReadFile(w.FS("."), name)
	if err == nil {
		err = w.WriteFile(t.Context(), name, []byte(strings.Replace(string(was), "user1@host", "user9@host", 1)))
	}
	if err != nil {
		t.Fatal(err)
	}
	if all, err := published.History(w.FS(published.Root), "flights"); err == nil || !strings.Contains(err.Error(), "record 3 does not follow record 2") {
		t.Errorf("History = %+v, %v, want it to name the records", all, err)
	}
}

func missing(t *testing.T, open Open) {
	t.Helper()
	w := open(t, t.TempDir())
	_, last := published.Last(w.FS(published.Root), "flights")
	_, all := published.History(w.FS(published.Root), "flights")
	_, manifest := published.ReadManifest(w.FS(published.Root), "flights", strings.Repeat("0", 64))
	for _, err := range []error{last, all, manifest} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v, want fs.ErrNotExist", err)
		}
	}
	if heads, err := published.Heads(w.FS(published.Root)); len(heads) != 0 || err != nil {
		t.Errorf("Heads = %v, %v, want none", heads, err)
	}
}

func bounded(t *testing.T, open Open) {
	t.Helper()
	w := open(t, t.TempDir())
	out := mustPut(t, w, Folder(t, "flights", files(1)), by(1))
	to := filepath.Join(t.TempDir(), "copy")
	_, err := published.Fetch(w.FS(published.Root), "flights", out.Record.Version, to, out.Record.Bytes-1)
	if err == nil || !strings.Contains(err.Error(), "ALMANAC_DATASETS_BYTES") {
		t.Errorf("Fetch = %v, want an error that names the variable", err)
	}
	if _, err := os.Stat(to); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was copied: %v", err)
	}
}
