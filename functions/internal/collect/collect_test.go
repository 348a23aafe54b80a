package collect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/block/blocktest"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/facts/factstest"
	"github.com/almanac-data/almanac/functions/internal/source"
	"github.com/almanac-data/almanac/functions/internal/window"
)

var ctx = context.Background()

const key = "2001-01-05"

// world is a dataset's folder and all that collect works with. It is also the port that finds the dataset.
type world struct {
	t       testing.TB
	d       *dataset.Dataset
	journal *factstest.Memory
	blocks  *blocktest.Memory
	collect *Collect
	source  *hooked
}

func (w *world) Dataset(name string) (*dataset.Dataset, error) {
	if name != w.d.Name {
		return nil, fmt.Errorf("%w: no dataset %s", events.ErrInvalid, name)
	}
	return w.d, nil
}

// hooked is the real source; what a test wants to happen meanwhile it hooks in.
type hooked struct {
	Sources

	opened func() // after a file was opened
}

func (h *hooked) Open(ctx context.Context, d *dataset.Dataset, f events.PinnedFile, offset int64) (io.ReadCloser, error) {
	r, err := h.Sources.Open(ctx, d, f, offset)
	if h.opened != nil {
		h.opened()
	}
	return r, err
}

// newWorld has the given files, and small slices.
func newWorld(t testing.TB, path string, files map[string]string) *world {
	t.Helper()
	w := &world{t: t, journal: new(factstest.Memory), blocks: new(blocktest.Memory), source: &hooked{Sources: new(source.Files)}}
	w.d = &dataset.Dataset{
		Name: "flights", Dir: t.TempDir(), Definition: "d1",
		Collect: dataset.Collect{
			Every: window.Day, Start: time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC), Path: path,
			Format: dataset.Format{Kind: "csv", Delimiter: ',', Quote: '"', Header: true, Compression: "auto"},
		},
	}
	for name, content := range files {
		w.put(name, content)
	}
	w.collect = &Collect{Journal: w.journal, Blocks: w.blocks, Sources: w.source, Datasets: w, SliceBytes: 100, BlockBytes: 30}
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.d.Dir, name) }

func (w *world) put(name, content string) {
	w.t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(w.path(name)), 0o755), os.WriteFile(w.path(name), []byte(content), 0o600)); err != nil {
		w.t.Fatal(err)
	}
}

func due(generation int, reason string) *events.Due {
	return &events.Due{Piece: events.Piece{Dataset: "flights", Window: key, Generation: generation}, Step: events.StepCollect, Attempt: 1, Reason: reason}
}

// handle must succeed.
func (w *world) handle(ev events.Event) {
	w.t.Helper()
	if err := w.collect.Handle(ctx, ev); err != nil {
		w.t.Fatalf("Handle(%+v): %v", ev, err)
	}
}

func (w *world) view() *facts.View {
	v, err := w.journal.View(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// slices are the collected facts of a generation, as far as they are a chain. Each must be as the contract says.
func (w *world) slices(generation int) []events.Collected {
	w.t.Helper()
	v, piece := w.view(), due(generation, "").Piece
	var all []events.Collected
	inputs, at := "", events.Position{}
	for n := 1; ; n++ {
		f, ok := facts.Get[events.Collected](v, piece.At(n))
		if !ok {
			return all
		}
		if n == 1 {
			inputs = f.Pin.Content()
		}
		if f.Inputs != inputs || f.From != at || f.Pin.Content() != all0(all, f).Pin.Content() {
			w.t.Fatalf("slice %d = %+v, want inputs %s from %+v", n, f, inputs, at)
		}
		inputs, at = f.Digest(), f.To
		if all = append(all, f); f.Last {
			return all
		}
	}
}

func all0(all []events.Collected, f events.Collected) events.Collected {
	if len(all) > 0 {
		return all[0]
	}
	return f
}

// text joins the raw blocks of slices, by file. Blocks must stand where they say.
func (w *world) text(slices []events.Collected) []string {
	w.t.Helper()
	var files []string
	for _, f := range slices {
		for len(files) <= f.From.File {
			files = append(files, "")
		}
		n := 0
		for b, err := range w.blocks.Read(ctx, f.Raw) {
			if err != nil {
				w.t.Fatal(err)
			}
			if want := (events.Position{File: f.From.File, Offset: int64(len(files[f.From.File]))}); b.From != want || b.Index != n {
				w.t.Fatalf("block %d of slice %d is number %d from %+v, want from %+v", n, f.Slice, b.Index, b.From, want)
			}
			data, err := block.DecodeRaw(nil, b.Value)
			if err != nil {
				w.t.Fatal(err)
			}
			files[f.From.File] += string(data)
			n++
		}
	}
	return files
}

// collected checks that a generation is whole and holds these files.
func (w *world) collected(generation int, files ...string) []events.Collected {
	w.t.Helper()
	slices := w.slices(generation)
	if len(slices) == 0 || !slices[len(slices)-1].Last {
		w.t.Fatalf("generation %d has %d slices and no last one; said: %+v", generation, len(slices), w.journal.Said())
	}
	got := w.text(slices)
	if len(got) != len(files) {
		w.t.Fatalf("generation %d holds %d files, want %d", generation, len(got), len(files))
	}
	for i := range files {
		if got[i] != files[i] {
			w.t.Fatalf("file %d of generation %d holds %q, want %q", i, generation, got[i], files[i])
		}
	}
	return slices
}

// last is the last event said, which must be a T.
func last[T events.Event](w *world) T {
	w.t.Helper()
	said := w.journal.Said()
	if len(said) == 0 {
		w.t.Fatal("nothing was said")
	}
	e, ok := said[len(said)-1].(T)
	if !ok {
		w.t.Fatalf("last said: %+v, want a %T", said[len(said)-1], e)
	}
	return e
}

func lines(n int) string {
	var b strings.Builder
	b.WriteString("date,delay,origin\n")
	for i := range n {
		fmt.Fprintf(&b, "2001-01-05 00:%02d:00,%d,ABC\n", i%60, i)
	}
	return b.String()
}

func TestCollectsAWindow(t *testing.T) {
	long := lines(40)
	tests := map[string]struct {
		path  string
		files map[string]string
		want  []string
		heads []string // of the slices
	}{
		"a header and a row":    {"{yyyy-mm-dd}.csv", map[string]string{key + ".csv": "a,b\n1,2\n"}, []string{"a,b\n1,2\n"}, []string{"a,b"}},
		"a header only":         {"in.csv", map[string]string{"in.csv": "a,b"}, []string{"a,b"}, []string{"a,b"}},
		"an empty file":         {"in.csv", map[string]string{"in.csv": ""}, []string{""}, []string{""}},
		"a byte order mark":     {"in.csv", map[string]string{"in.csv": "\xef\xbb\xbfa\r\n1\r\n"}, []string{"\xef\xbb\xbfa\r\n1\r\n"}, []string{"a"}},
		"many files, one empty": {"in/*", map[string]string{"in/b": "", "in/c": "b\n3", "in/a": "a\n1\n"}, []string{"a\n1\n", "", "b\n3"}, []string{"a", "", "b"}},
		"a record longer than two blocks and a slice": {"in.csv", map[string]string{"in.csv": "a\n" + strings.Repeat("x", 500) + "\n2\n"},
			[]string{"a\n" + strings.Repeat("x", 500) + "\n2\n"}, []string{"a", "a"}},
		"a long file": {"in.csv", map[string]string{"in.csv": long}, []string{long}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, tt.path, tt.files)
			w.handle(due(1, "schedule"))
			slices := w.collected(1, tt.want...)
			for i, f := range slices {
				if f.Definition != "d1" || f.Reason != "schedule" || tt.heads != nil && (len(tt.heads) != len(slices) || f.Header != tt.heads[i]) || tt.heads == nil && f.Header != "date,delay,origin" {
					t.Errorf("slice %d of %d = %+v, want headers %q", f.Slice, len(slices), f, tt.heads)
				}
			}
			said := len(w.journal.Said())
			w.handle(due(1, "schedule"))
			if again := len(w.journal.Said()); again != said {
				t.Errorf("the second time %d events were said, want none", again-said)
			}
		})
	}
}

func TestAnySizesGiveTheSameBytes(t *testing.T) {
	content := lines(60) + "x,\"un\nquoted\n\"a\nb\",c\n\n" + strings.Repeat("y", 200) + "\nend"
	for _, slice := range []int64{1, 50, 333, 1 << 20} {
		for _, size := range []int{1, 7, 64, 1 << 20} {
			w := newWorld(t, "in.csv", map[string]string{"in.csv": content})
			w.collect.SliceBytes, w.collect.BlockBytes = slice, size
			w.handle(due(1, "schedule"))
			w.collected(1, content)
		}
	}
}

func TestTwoAtOnce(t *testing.T) {
	w := newWorld(t, "in.csv", map[string]string{"in.csv": lines(60)})
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() { w.handle(due(1, "schedule")) })
	}
	wait.Wait()
	w.collected(1, lines(60))
}

// deaf is a journal that fails from the nth Say on.
type deaf struct {
	facts.Journal

	left int
}

var errDead = errors.New("dead")

func (d *deaf) Say(ctx context.Context, evs ...events.Event) error {
	if d.left--; d.left < 0 {
		return errDead
	}
	return d.Journal.Say(ctx, evs...)
}

func TestGoesOnAfterADeath(t *testing.T) {
	whole := newWorld(t, "in.csv", map[string]string{"in.csv": lines(30)})
	whole.handle(due(1, "schedule"))
	want := whole.collected(1, lines(30))
	for at := range want {
		w := newWorld(t, "in.csv", map[string]string{"in.csv": lines(30)})
		w.collect.Journal = &deaf{w.journal, at} // the blocks of slice at+1 are written, the fact is not
		if err := w.collect.Handle(ctx, due(1, "schedule")); !errors.Is(err, errDead) {
			t.Fatalf("Handle error = %v, want %v", err, errDead)
		}
		w.collect.Journal = w.journal
		w.handle(due(1, "schedule"))
		got := w.collected(1, lines(30))
		if len(w.journal.Said()) != len(want) {
			t.Errorf("%d facts were said, want each of %d slices once", len(w.journal.Said()), len(want))
		}
		if got[len(got)-1].Digest() != want[len(want)-1].Digest() {
			t.Errorf("death at slice %d: the last fact differs from an undisturbed run's", at+1)
		}
	}
}

func TestDoesAgainWhatDoesNotFit(t *testing.T) {
	spoil := map[string]func(w *world, f events.Collected){
		"a fact was taken back":             func(w *world, f events.Collected) { _ = w.journal.Retract(ctx, f) },
		"a fact is for other inputs":        func(w *world, f events.Collected) { f.Inputs = "other"; _ = w.journal.Say(ctx, f) },
		"a fact starts elsewhere":           func(w *world, f events.Collected) { f.From.Offset++; _ = w.journal.Say(ctx, f) },
		"a fact is of another definition":   func(w *world, f events.Collected) { f.Definition = "d0"; _ = w.journal.Say(ctx, f) },
		"a fact is of another pin":          func(w *world, f events.Collected) { f.Pin.Files[0].Digest = "x"; _ = w.journal.Say(ctx, f) },
		"slices were larger at another try": func(w *world, f events.Collected) { f.Raw.Digest = "other"; _ = w.journal.Say(ctx, f) },
	}
	for name, spoil := range spoil {
		for _, n := range []int{1, 3} {
			w := newWorld(t, "in.csv", map[string]string{"in.csv": lines(30)})
			w.handle(due(1, "schedule"))
			want := w.collected(1, lines(30))
			spoil(w, want[n-1])
			w.handle(due(1, "schedule"))
			if name == "slices were larger at another try" { // only the next slice can tell
				if got := w.slices(1); !got[len(got)-1].Last || got[n].Digest() == want[n].Digest() {
					t.Errorf("%s, slice %d: the slices after it are not made from it", name, n)
				}
				continue
			}
			got := w.collected(1, lines(30))
			if got[len(got)-1].Digest() != want[len(want)-1].Digest() {
				t.Errorf("%s, slice %d: the last fact changed", name, n)
			}
		}
	}
}

func TestStopsInTimeAndAsksToGoOn(t *testing.T) {
	w := newWorld(t, "in.csv", map[string]string{"in.csv": lines(30)})
	now := time.Now()
	w.collect.Now = func() time.Time { now = now.Add(time.Second); return now } // a slice takes a second or two
	timed, cancel := context.WithDeadline(ctx, now.Add(time.Hour))
	defer cancel()
	w.handle(due(1, "schedule"))
	n := len(w.collected(1, lines(30)))
	w.journal = new(factstest.Memory)
	w.collect.Journal = w.journal
	now = now.Add(time.Hour - 12*time.Second)
	if err := w.collect.Handle(timed, due(1, "schedule")); err != nil {
		t.Fatal(err)
	}
	done := len(w.slices(1))
	if done == 0 || done >= n {
		t.Fatalf("%d slices of %d are done, want some", done, n)
	}
	next := last[events.Due](w)
	if want := due(1, "schedule").At(done + 1); next.Piece != want || next.Attempt != 1 || next.Reason != "schedule" {
		t.Errorf("said %+v, want a due for %+v", next, want)
	}
	w.handle(&next)
	w.collected(1, lines(30))
}

func TestRefuses(t *testing.T) {
	w := newWorld(t, "in.csv", map[string]string{"in.csv": lines(1)})
	with := func(change func(*events.Due)) *events.Due { d := due(1, "schedule"); change(d); return d }
	for name, ev := range map[string]events.Event{
		"nothing":                   nil,
		"a fact":                    &events.Collected{},
		"a due of another step":     with(func(d *events.Due) { d.Step = events.StepDeliver }),
		"an unknown dataset":        with(func(d *events.Due) { d.Dataset = "other" }),
		"no window":                 with(func(d *events.Due) { d.Window = "yesterday" }),
		"a window of another size":  with(func(d *events.Due) { d.Window = "2001-01" }),
		"a window before the start": with(func(d *events.Due) { d.Window = "2000-12-31" }),
		"a generation too far":      with(func(d *events.Due) { d.Generation = 2 }),
		"no generation":             with(func(d *events.Due) { d.Generation = 0; d.Reason = "x" }),
	} {
		err := w.collect.Handle(ctx, ev)
		if !errors.Is(err, events.ErrInvalid) {
			t.Errorf("%s: error = %v, want one that wraps ErrInvalid", name, err)
		}
	}
	if said := w.journal.Said(); len(said) > 0 {
		t.Errorf("said %+v, want nothing", said)
	}
}

// store says that a generation is stored, as store does.
func (w *world) store(generation int) events.Stored {
	slices := w.slices(generation)
	f := events.Stored{Piece: due(generation, "").Piece, Entry: events.Entry{Generation: generation, Slices: len(slices), Pin: slices[0].Pin}}
	if err := w.journal.Say(ctx, f); err != nil {
		w.t.Fatal(err)
	}
	return f
}

func TestAStaleDueDoesNothing(t *testing.T) {
	w := newWorld(t, "in.csv", map[string]string{"in.csv": lines(1)})
	w.handle(due(1, "schedule"))
	w.store(1)
	w.d.Definition = "d2"
	said := len(w.journal.Said())
	w.handle(due(1, "schedule"))
	if len(w.journal.Said()) != said {
		t.Errorf("said %+v, want nothing", w.journal.Said()[said:])
	}
}
