package follow

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/lake"
	"github.com/almanac-data/almanac/functions/internal/published"
	"github.com/almanac-data/almanac/functions/internal/published/publishedtest"
)

const contract = `apiVersion: v3.1.0
kind: DataContract
id: trips
version: %d.0.0
status: active
schema:
  - name: rows
    properties:
      - {name: date, logicalType: date, required: true}
      - {name: n, logicalType: integer, logicalTypeOptions: {maximum: %d}}
`

const pipeline = `apiVersion: almanac.dev/v1
kind: Pipeline
collect: {every: day, start: 2001-01-01, end: 2001-01-03, event_time: date, source: {path: "sample/{yyyy-mm-dd}.csv", format: csv}}
`

// trips are the files of version n of a dataset.
func trips(n int) map[string]string {
	return map[string]string{"contract.yaml": fmt.Sprintf(contract, n, n), "pipeline.yaml": pipeline, "sample/2001-01-01.csv": "date,n\n2001-01-01,1\n"}
}

// flaky is a warehouse's folder of datasets that may be away.
type flaky struct {
	fs.FS

	away error
}

func (f *flaky) Open(name string) (fs.File, error) {
	if f.away != nil {
		return nil, f.away
	}
	return f.FS.Open(name)
}

// world is a warehouse, and a process that follows it at a clock that is moved.
type world struct {
	*testing.T
	*Follower

	lake  *lake.Lake
	files *flaky
	cache string
	now   time.Time
}

const refresh = 10 * time.Second

func newWorld(t *testing.T) *world {
	t.Helper()
	l, err := lake.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &world{T: t, lake: l, files: &flaky{FS: l.FS(published.Root)}, cache: t.TempDir(), now: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)}
}

func (w *world) put(dataset string, n int) {
	w.Helper()
	if _, err := publishedtest.Put(w.T, w.lake, publishedtest.Folder(w.T, dataset, trips(n)), published.Record{By: "me"}); err != nil {
		w.Fatal(err)
	}
}

func (w *world) open() error {
	w.Helper()
	f, err := read(w.Context(), w.files, Config{Refresh: refresh, Cache: w.cache, Bytes: 1 << 20}, time.Minute, func() time.Time { return w.now }, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	w.Follower = f
	w.Cleanup(func() {
		if err := f.Close(); err != nil {
			w.Error(err)
		}
	})
	return nil
}

// look moves the clock and looks.
func (w *world) look(after time.Duration) (bool, error) {
	w.now = w.now.Add(after)
	return w.Look(w.Context())
}

// want compares the contract versions of a catalog, such as births 1.0.0.
func (w *world) want(c *dataset.Catalog, want ...string) {
	w.Helper()
	all, _ := c.Datasets()
	var got []string
	for _, d := range all {
		text := d.Name + " " + d.Version
		if d.Withdrawn {
			text += " withdrawn"
		}
		got = append(got, text)
	}
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		w.Errorf("the catalog has %q, want %q", got, want)
	}
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func TestAFollowerGoesOnToNewVersionsAndTheCalendarLater(t *testing.T) {
	w := newWorld(t)
	w.put("trips", 1)
	w.must(w.open())
	w.want(w.Catalog(), "trips 1.0.0")
	w.want(w.Settled(), "trips 1.0.0")
	if changed, err := w.look(refresh); changed || err != nil {
		t.Errorf("Look without news = %v, %v", changed, err)
	}
	w.put("trips", 2)
	w.put("births", 5)
	if changed, err := w.look(refresh); !changed || err != nil {
		t.Errorf("Look = %v, %v, want news", changed, err)
	}
	w.want(w.Catalog(), "births 5.0.0", "trips 2.0.0")
	w.want(w.Settled(), "trips 1.0.0")
	_, err := w.look(refresh)
	w.must(err)
	w.want(w.Settled(), "trips 1.0.0")
	_, err = w.look(refresh)
	w.must(err)
	w.want(w.Settled(), "births 5.0.0", "trips 2.0.0")
	_, err = published.Take(t.Context(), w.lake, "trips", published.Record{By: "me"})
	w.must(err)
	_, err = w.look(refresh)
	w.must(err)
	w.want(w.Catalog(), "births 5.0.0", "trips 2.0.0 withdrawn")
}

func TestTheFilesOfAReplacedVersionStayForAWhile(t *testing.T) {
	w := newWorld(t)
	w.put("trips", 1)
	w.must(w.open())
	old, err := w.Catalog().Dataset("trips")
	w.must(err)
	for n := 2; n < 12; n++ {
		w.put("trips", n)
		_, err := w.look(refresh)
		w.must(err)
		if _, err := os.Stat(old.Dir + "/sample/2001-01-01.csv"); n < 5 && err != nil {
			t.Errorf("after version %d: %v", n, err)
		}
	}
	for range 10 { // longer than keep
		_, err := w.look(refresh)
		w.must(err)
	}
	if _, err := os.Stat(old.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the files of the first version are still there: %v", err)
	}
	if left, _ := filepath.Glob(w.Follower.cache.dir + "/*/trips"); len(left) != 1 {
		t.Errorf("%d versions are kept, want the current one", len(left))
	}
	d, err := w.Catalog().Dataset("trips")
	w.must(err)
	if _, err := os.Stat(d.Dir + "/sample/2001-01-01.csv"); err != nil {
		t.Errorf("the current version lacks its files: %v", err)
	}
}

func TestWhatCannotBeReadStaysAsItWas(t *testing.T) {
	for name, spoil := range map[string]func(w *world) error{
		"the warehouse is away": func(w *world) error { w.files.away = syscall.EHOSTDOWN; return nil },
		"a version is damaged": func(w *world) error {
			w.put("trips", 2)
			r, err := published.Last(w.files, "trips")
			if err == nil {
				err = w.lake.WriteFile(w.Context(), "datasets/trips/"+r.Version+"/files/contract.yaml", []byte("spoiled"))
			}
			return err
		},
		"the folder is gone":    func(w *world) error { return os.RemoveAll(w.lake.URI("datasets/trips")) },
		"all datasets are gone": func(w *world) error { return os.RemoveAll(w.lake.URI("datasets")) },
		"the history goes back": func(w *world) error { return os.Remove(w.lake.URI("datasets/trips/history/00000002.json")) },
		"a version that this code does not know": func(w *world) error {
			files := trips(2)
			files["pipeline.yaml"] += "later: true\n"
			_, err := publishedtest.Put(w.T, w.lake, publishedtest.Folder(w.T, "trips", files), published.Record{Code: "v9"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.put("trips", 3)
			w.put("trips", 1)
			w.must(w.open())
			w.must(w.Ready(t.Context()))
			w.must(spoil(w))
			if changed, err := w.look(refresh); changed || err == nil {
				t.Errorf("Look = %v, %v, want an error and no news", changed, err)
			}
			w.want(w.Catalog(), "trips 1.0.0")
			// What is wrong with a dataset must not stop the functions for all the others.
			if err := w.Ready(t.Context()); (err != nil) != (w.files.away != nil) || err != nil && !strings.Contains(err.Error(), "the last versions that were read are used") {
				t.Errorf("Ready = %v while the warehouse has %v", err, w.files.away)
			}
			w.files.away = nil
			w.put("births", 7) // one dataset holds up no other
			_, _ = w.look(refresh)
			w.want(w.Catalog(), "births 7.0.0", "trips 1.0.0")
		})
	}
}

func TestAFollowerThatCanReadNothingDoesNotStart(t *testing.T) {
	w := newWorld(t)
	w.files.away = syscall.EHOSTDOWN
	if err := w.open(); !errors.Is(err, syscall.EHOSTDOWN) || !errors.Is(err, ErrAway) {
		t.Errorf("Open = %v, want %v and %v", err, syscall.EHOSTDOWN, ErrAway)
	}
	if left, _ := filepath.Glob(w.cache + "/*"); len(left) != 0 {
		t.Errorf("it leaves %v", left)
	}
}

// TestADatasetThatCannotBeReadHoldsUpNoOther starts beside a damaged version: functions that are woken from zero start all the time.
func TestADatasetThatCannotBeReadHoldsUpNoOther(t *testing.T) {
	w := newWorld(t)
	w.put("births", 1)
	w.put("trips", 1)
	r, err := published.Last(w.files, "trips")
	w.must(err)
	w.must(w.lake.WriteFile(t.Context(), "datasets/trips/"+r.Version+"/files/contract.yaml", []byte("spoiled")))
	w.must(w.open())
	w.want(w.Catalog(), "births 1.0.0")
	w.must(w.Ready(t.Context()))
	if err := w.Wrong(); err == nil || !strings.Contains(err.Error(), "of trips") {
		t.Errorf("Wrong = %v, want what is wrong with trips", err)
	}
	bad := fmt.Errorf("%w: as no version takes it", events.ErrInvalid)
	h := w.Handler(func(context.Context, events.Event) error { return bad })
	for name, invalid := range map[string]bool{"births": true, "none": true, "trips": false} {
		w.now = w.now.Add(time.Second)
		if err := h(t.Context(), &events.Due{Piece: events.Piece{Dataset: name}}); err == nil || errors.Is(err, events.ErrInvalid) != invalid {
			t.Errorf("an event of %s that is refused = %v, want events.ErrInvalid: %v", name, err, invalid)
		}
	}
}

func TestTheCacheOfAProcessThatDiedIsRemovedAndNoOther(t *testing.T) {
	parent := t.TempDir()
	living, err := openCache(parent)
	if err != nil {
		t.Fatal(err)
	}
	dead, err := openCache(parent)
	if err != nil {
		t.Fatal(err)
	}
	_ = dead.lock.Close() // as the kernel does it
	young := filepath.Join(parent, prefix+"young")
	if err := os.Mkdir(young, 0o700); err != nil {
		t.Fatal(err)
	}
	third, err := openCache(parent)
	if err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]bool{living.dir: true, dead.dir: false, young: true, third.dir: true} {
		if _, err := os.Stat(dir); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", dir, err == nil, want)
		}
	}
	if err := errors.Join(living.close(), third.close()); err != nil {
		t.Error(err)
	}
	if _, err := openCache(filepath.Join(parent, "none")); err == nil || !strings.Contains(err.Error(), "ALMANAC_DATASETS_CACHE") {
		t.Errorf("openCache of a folder that is not there = %v, want the variable", err)
	}
}

func TestAnEventIsNotRefusedByAnOldVersion(t *testing.T) {
	w := newWorld(t)
	w.put("trips", 1)
	w.must(w.open())
	calls := 0
	h := w.Handler(func(_ context.Context, ev events.Event) error {
		calls++
		_, err := w.Catalog().Dataset(ev.Of().Dataset)
		return err
	})
	due := func(name string) error {
		w.now = w.now.Add(time.Second)
		return h(t.Context(), &events.Due{Piece: events.Piece{Dataset: name}})
	}
	w.put("births", 2) // and the follower has not looked since
	if err := due("births"); err != nil || calls != 2 {
		t.Errorf("the due of a dataset that is new = %v after %d calls, want nil after 2", err, calls)
	}
	if err := due("none"); !errors.Is(err, events.ErrInvalid) || calls != 3 {
		t.Errorf("the due of no dataset = %v after %d calls, want events.ErrInvalid after 3", err, calls)
	}
	w.files.away = syscall.EHOSTDOWN
	if err := due("none"); err == nil || errors.Is(err, events.ErrInvalid) {
		t.Errorf("a due while nobody can tell = %v, want an error that a retry can help", err)
	}
}

func TestAnEventIsNotRefusedWhenAnotherHasJustLooked(t *testing.T) {
	w := newWorld(t)
	w.put("trips", 1)
	w.must(w.open())
	calls := 0
	h := w.Handler(func(ctx context.Context, ev events.Event) error {
		calls++
		_, err := w.Catalog().Dataset(ev.Of().Dataset)
		if calls == 1 { // between the answer and the look for newer versions another has seen them
			w.put("births", 2)
			_, lookErr := w.Look(ctx)
			w.must(lookErr)
		}
		return err
	})
	if err := h(t.Context(), &events.Due{Piece: events.Piece{Dataset: "births"}}); err != nil || calls != 2 {
		t.Errorf("the due of a dataset that is new = %v after %d calls, want nil after 2", err, calls)
	}
}

func TestLatestLooksFirst(t *testing.T) {
	w := newWorld(t)
	w.put("births", 1)
	w.put("trips", 1)
	w.must(w.open())
	latest := func(name, want string) {
		t.Helper()
		w.now = w.now.Add(time.Second)
		if d, err := w.Latest(t.Context(), name); err != nil || d.Version != want {
			t.Errorf("Latest(%s) = %+v, %v, want %s", name, d, err, want)
		}
	}
	w.put("births", 2) // and the follower has not looked since
	latest("births", "2.0.0")
	w.put("births", 3)
	w.put("trips", 2)
	r, err := published.Last(w.files, "trips")
	w.must(err)
	w.must(w.lake.WriteFile(t.Context(), "datasets/trips/"+r.Version+"/files/contract.yaml", []byte("spoiled")))
	latest("births", "3.0.0") // another dataset that cannot be read is no hindrance
	w.now = w.now.Add(time.Second)
	if d, err := w.Latest(t.Context(), "trips"); err == nil || errors.Is(err, events.ErrInvalid) {
		t.Errorf("Latest of what cannot be read = %+v, %v, want an error that a retry can help", d, err)
	}
	if _, err := w.Latest(t.Context(), "none"); !errors.Is(err, events.ErrInvalid) {
		t.Errorf("Latest of no dataset = %v, want events.ErrInvalid", err)
	}
	w.files.away = syscall.EHOSTDOWN
	w.now = w.now.Add(time.Second)
	if _, err := w.Latest(t.Context(), "births"); !errors.Is(err, syscall.EHOSTDOWN) {
		t.Errorf("Latest while the warehouse is away = %v, want %v", err, syscall.EHOSTDOWN)
	}
}

func TestTheTickerLooks(t *testing.T) {
	w := newWorld(t)
	w.put("trips", 1)
	f, err := Open(t.Context(), w.files, Config{Refresh: 100 * time.Millisecond, Cache: w.cache, Bytes: 1 << 20}, time.Minute, time.Now, slog.New(slog.DiscardHandler))
	w.must(err)
	w.put("trips", 2)
	for began := time.Now(); ; {
		d, err := f.Catalog().Dataset("trips")
		w.must(err)
		if d.Version == "2.0.0" {
			break
		}
		if time.Since(began) > 20*time.Second {
			t.Fatal("the new version is not seen")
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.must(f.Close())
	if left, _ := filepath.Glob(w.cache + "/*"); len(left) != 0 {
		t.Errorf("Close leaves %v", left)
	}
}
