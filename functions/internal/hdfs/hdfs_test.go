package hdfs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/almanac-data/almanac/functions/internal/hdfs/remote"
	"github.com/almanac-data/almanac/functions/internal/lake/fsys"
)

const (
	held  = 4 << 20   // bytes of a file that is written again
	ahead = 256 << 10 // bytes that a small read fetches
	idle  = 30 * time.Second
	age   = time.Hour
)

// put makes a file of the fake.
func put(k *fake, name, data string) {
	k.ids++
	k.nodes[name] = &node{id: k.ids, data: []byte(data)}
}

// lose loses the answers of the first n calls of a verb.
func lose(verb string, n int) func(string, int) error {
	return func(v string, at int) error {
		if v == verb && at <= n {
			return errLost
		}
		return nil
	}
}

func TestRenameWhoseAnswerIsLostIsLookedFor(t *testing.T) {
	busy := remote.NewError("org.apache.hadoop.ipc.RetriableException", "NameNode still not started")
	for name, tt := range map[string]struct {
		before, after func(string, int) error
		meanwhile     func(k *fake) // after the first request
		want          error
		data          string
	}{
		"it was done":                          {after: lose("rename", 1), data: "ours"},
		"it was not done":                      {before: lose("rename", 1), data: "ours"},
		"it was not done, and another won":     {before: lose("rename", 1), meanwhile: func(k *fake) { put(k, "/w/new", "theirs") }, want: fs.ErrExist, data: "theirs"},
		"it was done, and the look fails once": {after: func(v string, n int) error { return errors.Join(lose("rename", 1)(v, n), loseAt("stat", 2)(v, n)) }, data: "ours"},
		"it arrives late": {
			before: lose("rename", 1),
			meanwhile: func(k *fake) {
				k.before = func(verb string, n int) error {
					if verb == "rename" && n == 2 { // between the look and the second request
						k.nodes["/w/new"] = k.nodes["/w/old"]
						delete(k.nodes, "/w/old")
					}
					return nil
				}
			},
			data: "ours",
		},
		"the NameNode starts": {before: func(v string, n int) error {
			if v == "rename" && n < 3 {
				return busy
			}
			return nil
		}, data: "ours"},
		"the source is gone": {before: lose("rename", 1), meanwhile: func(k *fake) { delete(k.nodes, "/w/old") }, want: fs.ErrNotExist},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, k := newFake(t)
				defer f.Close()
				put(k, "/w/old", "ours")
				if tt.before != nil {
					k.before = tt.before
				}
				if tt.after != nil {
					k.after = tt.after
				}
				if meanwhile := tt.meanwhile; meanwhile != nil {
					before := k.before
					k.before = func(verb string, n int) error {
						err := before(verb, n)
						if verb == "rename" && n == 1 {
							meanwhile(k)
						}
						return err
					}
				}
				err := f.RenameNew("old", "new")
				if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
					t.Errorf("RenameNew = %v, want %v", err, tt.want)
				}
				if n := k.nodes["/w/new"]; tt.data != "" && (n == nil || string(n.data) != tt.data) {
					t.Errorf("at the new name lies %v, want %s", n, tt.data)
				}
			})
		})
	}
}

func loseAt(verb string, at int) func(string, int) error {
	return func(v string, n int) error {
		if v == verb && n == at {
			return errLost
		}
		return nil
	}
}

func TestPatienceEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		want string
		long bool
	}{
		"of an unclear outcome":                {errLost, "gave up after 1m0s, it may or may not have been done: connection reset", true},
		"of a NameNode that cannot be reached": {&remote.UnsentError{Err: errors.New("refused")}, "gave up after 1m0s: refused", true},
		"of safe mode": {remote.NewError("SafeModeException", "Cannot delete /w/x. Name node is in safe mode."),
			"HDFS is in safe mode and takes no changes: wait until enough DataNodes have reported", true},
		"but not of a quota": {remote.NewError("org.apache.hadoop.hdfs.protocol.DSQuotaExceededException", "The DiskSpace quota of /w is exceeded"),
			"raise it by `hdfs dfsadmin -setSpaceQuota`", false},
		"but not of a refusal": {remote.NewError("org.apache.hadoop.security.AccessControlException", "Permission denied: user=almanac"),
			"Permission denied: user=almanac; see who owns the folder", false},
	} {
		synctest.Test(t, func(t *testing.T) {
			f, k := newFake(t)
			defer f.Close()
			k.before = func(verb string, _ int) error {
				if verb == "delete" {
					return tt.err
				}
				return nil
			}
			start := time.Now()
			err := f.Remove("x")
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "remove hdfs://nn:8020/w/x") {
				t.Errorf("%s: Remove = %v, want %q", name, err, tt.want)
			}
			if d := time.Since(start); d > time.Minute || (d > 50*time.Second) != tt.long {
				t.Errorf("%s: Remove took %s", name, d)
			}
		})
	}
}

func TestRemoveWhoseAnswerIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, k := newFake(t)
		defer f.Close()
		put(k, "/w/x", "")
		k.after = lose("delete", 1)
		if err := f.Remove("x"); err != nil {
			t.Errorf("Remove = %v", err)
		}
		if err := f.Remove("x"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Remove again = %v, want fs.ErrNotExist", err)
		}
		if err := f.RemoveAll("x"); err != nil {
			t.Errorf("RemoveAll of nothing = %v", err)
		}
	})
}

func TestSmallFileIsWrittenUntilItIsWhole(t *testing.T) {
	for _, verb := range []string{"create", "write", "commit", "mkdirs", "replace"} {
		for name, set := range map[string]func(*fake, func(string, int) error){
			"before": func(k *fake, f func(string, int) error) { k.before = f },
			"after":  func(k *fake, f func(string, int) error) { k.after = f },
		} {
			synctest.Test(t, func(t *testing.T) {
				f, k := newFake(t)
				defer f.Close()
				put(k, "/w/b", "old") // is truncated
				set(k, lose(verb, 2))
				for _, file := range []string{"a/new", "b"} {
					w, err := f.Create(file)
					if err != nil {
						t.Fatal(err)
					}
					_, err = io.WriteString(w, "text")
					if err = errors.Join(err, w.Sync(), w.Close()); err != nil {
						t.Errorf("%s, %s %s lost: %v", file, name, verb, err)
					}
					if err := w.Close(); !errors.Is(err, fs.ErrClosed) {
						t.Errorf("Close again = %v, want fs.ErrClosed", err)
					}
					if n := k.nodes["/w/"+file]; n == nil || string(n.data) != "text" {
						t.Errorf("%s, %s %s lost: there lies %v", file, name, verb, n)
					}
				}
			})
		}
	}
}

func TestAttemptsLeaveNothing(t *testing.T) {
	for verb, lost := range map[string]int{"create": 5, "write": 3, "commit": 3} {
		synctest.Test(t, func(t *testing.T) {
			f, k := newFake(t)
			defer f.Close()
			k.after = lose(verb, lost)
			if err := fsys.WriteFile(f, "x", []byte("text")); err != nil {
				t.Errorf("%s lost: WriteFile = %v", verb, err)
			}
			names := slices.Sorted(maps.Keys(k.nodes))
			if k.counts[verb] <= lost || !slices.Equal(names, []string{"/w", "/w/x"}) || string(k.nodes["/w/x"].data) != "text" {
				t.Errorf("after %d times %s there are %v", k.counts[verb], verb, names)
			}
		})
	}
}

// With WebHDFS it is the DataNode that makes a file, so that the name may turn out to be taken only at the end.
func TestNameThatIsTakenWhileAFileIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, k := newFake(t)
		defer f.Close()
		k.before = func(verb string, n int) error {
			if verb == "commit" && n == 1 {
				return taken("/w/x")
			}
			return nil
		}
		if err := fsys.WriteFile(f, "x", []byte("text")); err != nil || string(k.nodes["/w/x"].data) != "text" {
			t.Errorf("WriteFile = %v", err)
		}
	})
}

func TestLargeFileThatCannotBeMendedIsDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, k := newFake(t)
		defer f.Close()
		k.before = loseAt("write", 3)
		w, err := f.Create("large")
		if err != nil {
			t.Fatal(err)
		}
		chunk := make([]byte, held)
		for range 2 {
			if _, err = w.Write(chunk); err != nil {
				break
			}
		}
		if _, err = w.Write(chunk); !errors.Is(err, errLost) {
			t.Fatalf("Write = %v, want the error of the network", err)
		}
		if err := w.Sync(); !errors.Is(err, errLost) {
			t.Errorf("Sync = %v, want the same error", err)
		}
		if err := w.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
		if k.nodes["/w/large"] != nil || !slices.Contains(k.calls, "close") {
			t.Errorf("after %v the file is still there, or its client open", k.calls)
		}
		// The answer to the last step may be lost: then the NameNode is asked.
		k.after = lose("commit", 1)
		w, _ = f.Create("larger")
		_, err = w.Write(make([]byte, held+1))
		if err = errors.Join(err, w.Close()); err != nil || len(k.nodes["/w/larger"].data) != held+1 {
			t.Errorf("Close = %v", err)
		}
	})
}

func TestReadGoesOnWhereItWasCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, k := newFake(t)
		defer f.Close()
		data := make([]byte, 3*ahead)
		for i := range data {
			data[i] = byte(i * i >> 7)
		}
		put(k, "/w/x", string(data))
		reads := 0
		k.after = func(verb string, _ int) error {
			if verb == "read" {
				if reads++; reads%2 == 1 {
					return errLost
				}
			}
			return nil
		}
		r, err := f.Open("x")
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("read %d bytes, %v, want %d", len(got), err, len(data))
		}
		// Another file of that name is not read on in.
		put(k, "/w/x", string(data))
		if _, err := r.ReadAt(make([]byte, len(data)), 0); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("ReadAt of a file that was replaced = %v, want fs.ErrNotExist", err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if _, err := r.Read(make([]byte, 1)); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("Read after Close = %v, want fs.ErrClosed", err)
		}
	})
}

// A Parquet reader looks at the last 8 bytes, then at the footer, then at columns.
func TestFooterTakesOneRead(t *testing.T) {
	f, k := newFake(t)
	defer f.Close()
	size := 4 * ahead
	put(k, "/w/x", strings.Repeat("x", size))
	r, err := f.Open("x")
	if err != nil {
		t.Fatal(err)
	}
	k.calls = nil
	for _, at := range []struct{ off, n int }{{size - 8, 8}, {size - 5000, 4992}, {size - 5000, 8}, {0, 300 << 10}, {300 << 10, 200 << 10}} {
		if n, err := r.ReadAt(make([]byte, at.n), int64(at.off)); n != at.n || err != nil {
			t.Errorf("ReadAt(%d, %d) = %d, %v", at.n, at.off, n, err)
		}
	}
	if diff := cmp.Diff([]string{"read 262144 at 786432", "read 307200 at 0", "read 204800 at 307200"}, k.calls); diff != "" {
		t.Errorf("reads (-want +got):\n%s", diff)
	}
	if n, err := r.ReadAt(make([]byte, 20), int64(size-10)); n != 10 || !errors.Is(err, io.EOF) {
		t.Errorf("ReadAt over the end = %d, %v, want 10, EOF", n, err)
	}
}

func TestClientsAreKeptForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, k := newFake(t)
		defer f.Close()
		for step, tt := range []struct {
			wait time.Duration
			want int
		}{{0, 1}, {idle / 2, 1}, {idle / 2, 1}, {2 * idle, 2}} {
			time.Sleep(tt.wait)
			synctest.Wait()
			if _, err := f.Stat("."); err != nil || k.dials != tt.want {
				t.Errorf("step %d: %d clients were made, %v, want %d", step, k.dials, err, tt.want)
			}
		}
		for range 3 * age / idle { // busy all the time
			time.Sleep(idle / 2)
			_, _ = f.Stat(".")
		}
		if k.dials < 3 || k.dials > 4 {
			t.Errorf("%d clients were made in an hour and a half, want a new one each hour", k.dials)
		}
	})
}

func TestAnotherNameNodeComesAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, k := newFake(t)
		defer f.Close()
		k.before = lose("stat", 3)
		if _, err := f.Stat("."); err != nil || k.failed != 3 || k.dials != 4 {
			t.Errorf("Stat = %v after %d dials, the last after %d failures; want 4 and 3", err, k.dials, k.failed)
		}
	})
	for failed, want := range []string{"a b c", "b c a", "c a b", "a b c"} {
		if got := strings.Join(rotate([]string{"a", "b", "c"}, failed), " "); got != want {
			t.Errorf("rotate(%d) = %s, want %s", failed, got, want)
		}
	}
}

func TestWarehousesThatCannotBeNamed(t *testing.T) {
	for _, uri := range []string{"hdfs:///x", "file:///x", "hdfs://nn:1", "hdfs://nn:1/", "hdfs://nn:1/a b", "hdfs://nn:1/a:b", "hdfs://nn:1/a%20b", "x"} {
		if _, err := Open(context.Background(), uri, Config{}); err == nil {
			t.Errorf("Open(%q) gave no error", uri)
		}
	}
}
