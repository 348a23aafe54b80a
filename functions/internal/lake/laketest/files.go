package laketest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"testing"
)

func finish(t *testing.T, open Open) {
	t.Helper()
	l := open(t, t.TempDir())
	for range 2 { // the second time the name is taken by its equal
		f, err := l.Create(t.Context(), "flights/raw/2001-01-05/1", "3-", ".zst")
		if err != nil {
			t.Fatal(err)
		}
		f.AddRows(7)
		_, _ = f.Write([]byte("some "))
		_, _ = f.Write([]byte("bytes"))
		got, err := f.Finish()
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Abort(); err != nil {
			t.Errorf("Abort after Finish = %v", err)
		}
		sum := sha256.Sum256([]byte("some bytes"))
		digest := hex.EncodeToString(sum[:])
		if got.Path != "flights/raw/2001-01-05/1/3-"+digest+".zst" || got.Digest != digest || got.Bytes != 10 || got.Rows != 7 {
			t.Errorf("Finish() = %+v", got)
		}
		data, err := l.ReadFile(t.Context(), got.Path)
		if string(data) != "some bytes" || err != nil {
			t.Errorf("ReadFile = %q, %v", data, err)
		}
	}
	if entries, err := l.List(t.Context(), "flights/raw/2001-01-05/1"); len(entries) != 1 || err != nil {
		t.Errorf("List = %v, %v, want one file", entries, err)
	}
}

func abort(t *testing.T, open Open) {
	t.Helper()
	l := open(t, t.TempDir())
	f, err := l.Create(t.Context(), "flights/raw", "", ".zst")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.Write([]byte("x"))
	if err := errors.Join(f.Abort(), f.Abort()); err != nil {
		t.Errorf("Abort = %v", err)
	}
	p := l.NewParquet(t.Context(), "flights/raw", Schema)
	if err := errors.Join(p.Write(Batch(Day(0), 1, 3)), p.Abort(), p.Abort()); err != nil {
		t.Errorf("Abort = %v", err)
	}
	if entries, err := l.List(t.Context(), "flights/raw"); len(entries) != 0 || err != nil {
		t.Errorf("List = %v, %v, want nothing", entries, err)
	}
	if _, err := l.OpenFile(t.Context(), "flights/raw/x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("OpenFile of a missing file = %v, want fs.ErrNotExist", err)
	}
}

func escape(t *testing.T, open Open) {
	t.Helper()
	l := open(t, t.TempDir())
	for _, name := range []string{"", "..", "/etc/passwd", "../x", "a/../../x", "a\\..\\x", "a\x00b", "a/b/../../.."} {
		_, err := l.OpenFile(t.Context(), name)
		wantErr(t, err, fs.ErrInvalid, "OpenFile("+name+")")
		wantErr(t, l.WriteFile(t.Context(), name, nil), fs.ErrInvalid, "WriteFile("+name+")")
		wantErr(t, l.WriteNew(t.Context(), name, nil), fs.ErrInvalid, "WriteNew("+name+")")
		_, err = l.Create(t.Context(), name, "", ".x")
		wantErr(t, err, fs.ErrInvalid, "Create("+name+")")
		_, err = l.List(t.Context(), name)
		wantErr(t, err, fs.ErrInvalid, "List("+name+")")
		_, err = l.MkTemp(t.Context(), name)
		wantErr(t, err, fs.ErrInvalid, "MkTemp("+name+")")
		wantErr(t, l.Publish(t.Context(), "a", name), fs.ErrInvalid, "Publish(a, "+name+")")
		wantErr(t, l.Publish(t.Context(), name, "a"), fs.ErrInvalid, "Publish("+name+", a)")
		wantErr(t, l.NewParquet(t.Context(), name, Schema).Write(Batch(Day(0), 1, 1)), fs.ErrInvalid, "NewParquet("+name+")")
	}
	_, err := l.Create(t.Context(), "a", "../", ".x")
	wantErr(t, err, fs.ErrInvalid, "Create with prefix ../")
	// A path that stays within, by whatever way, is fine.
	if err := l.WriteFile(t.Context(), "a/../b/./c", []byte("x")); err != nil {
		t.Error(err)
	}
	if data, err := l.ReadFile(t.Context(), "b/c"); string(data) != "x" {
		t.Errorf("ReadFile(b/c) = %q, %v", data, err)
	}
}

func publish(t *testing.T, open Open) {
	t.Helper()
	l := open(t, t.TempDir())
	const writers = 8
	var won, lost atomic.Int64
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			temp, err := l.MkTemp(t.Context(), "releases/flights")
			if err == nil {
				err = l.WriteFile(t.Context(), temp+"/manifest.json", []byte{byte(i)})
			}
			if err != nil {
				t.Error(err)
				return
			}
			switch err := l.Publish(t.Context(), temp, "releases/flights/training-2001-01.1"); {
			case err == nil:
				won.Add(1)
			case errors.Is(err, fs.ErrExist):
				lost.Add(1)
				if err := l.Discard(t.Context(), temp); err != nil {
					t.Error(err)
				}
			default:
				t.Errorf("Publish = %v", err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 || lost.Load() != writers-1 {
		t.Errorf("%d won and %d lost, want 1 and %d", won.Load(), lost.Load(), writers-1)
	}
	if err := l.Discard(t.Context(), "releases/flights"); err == nil {
		t.Error("Discard of a folder that is not temporary gave no error")
	}
	if entries, err := l.List(t.Context(), "releases/flights"); len(entries) != 1 || err != nil {
		t.Errorf("List = %v, %v, want the release alone", entries, err)
	}
}

// writeNew lets several write files of the same names, one after the other: each name gets one writer's bytes, and keeps them.
func writeNew(t *testing.T, open Open) {
	t.Helper()
	l := open(t, t.TempDir())
	const writers, files = 6, 4
	var won [files]atomic.Int64
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range files {
				switch err := l.WriteNew(t.Context(), fmt.Sprintf("datasets/flights/history/%d", i), []byte{byte(w)}); {
				case err == nil:
					won[i].Add(int64(1 + w<<8)) // how many, and who
				case !errors.Is(err, fs.ErrExist):
					t.Errorf("WriteNew = %v, want nil or fs.ErrExist", err)
				}
			}
		})
	}
	all.Wait()
	for i := range files {
		got, err := l.ReadFile(t.Context(), fmt.Sprintf("datasets/flights/history/%d", i))
		if n := won[i].Load(); err != nil || n&0xff != 1 || len(got) != 1 || int64(got[0]) != n>>8 {
			t.Errorf("file %d holds %v, %v; %d writers won, the sum of their numbers is %d", i, got, err, n&0xff, n>>8)
		}
	}
	if entries, err := l.List(t.Context(), "datasets/flights/history"); len(entries) != files || err != nil {
		t.Errorf("List = %v, %v, want %d files", entries, err, files)
	}
	if removed, err := l.Sweep(t.Context(), 0); len(removed) != 0 || err != nil {
		t.Errorf("Sweep = %v, %v, want nothing left by those who lost", removed, err)
	}
}

// publishTidy publishes a folder in which attempts that were made again under another name have left something.
func publishTidy(t *testing.T, open Open) {
	t.Helper()
	l := open(t, t.TempDir())
	temp, err := l.MkTemp(t.Context(), "releases/flights")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/manifest.json", "/data/a.parquet", "/data/.tmp-a", "/.tmp-b/c"} {
		if err := l.WriteFile(t.Context(), temp+name, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	const final = "releases/flights/training-2001-01.1"
	if err := l.Publish(t.Context(), temp, final); err != nil {
		t.Fatal(err)
	}
	for name, kept := range map[string]bool{"/manifest.json": true, "/data/a.parquet": true, "/data/.tmp-a": false, "/.tmp-b/c": false} {
		if _, err := l.ReadFile(t.Context(), final+name); (err == nil) != kept || err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after Publish ReadFile(%s) = %v, want it kept: %v", name, err, kept)
		}
	}
}
