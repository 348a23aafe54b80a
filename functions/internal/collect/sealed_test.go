package collect

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/block/seal"
	"github.com/almanac-data/almanac/functions/internal/dataset"
)

// ring has the key of one window, once somebody has asked for it to be made.
type ring struct {
	fill byte
	made bool
	err  error
}

func (r *ring) Key(_ context.Context, name, window string) (*seal.Key, error) {
	if r.err != nil || !r.made {
		return nil, errors.Join(r.err, fs.ErrNotExist)
	}
	return seal.NewKey(bytes.Repeat([]byte{r.fill}, seal.KeyBytes), name, window)
}

func (r *ring) Ensure(ctx context.Context, name, window string) (*seal.Key, error) {
	r.made = r.err == nil
	return r.Key(ctx, name, window)
}

// sealedWorld has a dataset with a personal column.
func sealedWorld(t *testing.T, fill byte) (*world, *ring) {
	w := newWorld(t, "in/*", map[string]string{"in/a": lines(30), "in/b": "", "in/c": lines(20) + strings.Repeat("y", 100) + "\n"})
	w.d.Columns = []dataset.Column{{Name: "who", Type: dataset.String, Classification: "personal"}}
	keys := &ring{fill: fill}
	if fill > 0 {
		w.collect.Keys = keys
	}
	return w, keys
}

// opened gives the source's bytes of each file, of sealed blocks.
func (w *world) opened(keys *ring, slices []events.Collected) map[int]string {
	w.t.Helper()
	key, err := keys.Key(ctx, "flights", slices[0].Window)
	if err != nil {
		w.t.Fatal(err)
	}
	texts := map[int]string{}
	for _, f := range slices {
		slice, err := key.Slice(f.Piece)
		if err != nil {
			w.t.Fatal(err)
		}
		n, sum, digest := 0, sha256.New(), block.NewDigest()
		for b, err := range w.blocks.Read(ctx, f.Raw) {
			if err != nil {
				w.t.Fatal(err)
			}
			value, mark, err := slice.Open(nil, b.Value, n)
			if err != nil {
				w.t.Fatalf("slice %d: %v", f.Slice, err)
			}
			n++
			if mark.Last != (n == f.Raw.Blocks) || mark.Fragment != b.Fragment {
				w.t.Errorf("slice %d, block %d of %d is marked %+v", f.Slice, n, f.Raw.Blocks, mark)
			}
			sum.Write(value)
			digest.Add(value)
			data, err := block.DecodeRaw(nil, value)
			if err != nil {
				w.t.Fatal(err)
			}
			texts[f.From.File] += string(data)
		}
		if f.Plain != digest.String() || f.Archive != hex.EncodeToString(sum.Sum(nil)) {
			w.t.Errorf("slice %d says that it holds %s and %s", f.Slice, f.Plain, f.Archive)
		}
	}
	return texts
}

func TestRawBlocksOfPersonalDatasetsAreSealed(t *testing.T) {
	w, keys := sealedWorld(t, 1)
	w.handle(due(1, "schedule"))
	slices := w.slices(1)
	texts := w.opened(keys, slices)
	if texts[0] != lines(30) || texts[1] != "" || texts[2] != lines(20)+strings.Repeat("y", 100)+"\n" {
		t.Errorf("the blocks hold %v", texts)
	}
	plain, _ := sealedWorld(t, 0)
	plain.handle(due(1, "schedule"))
	other, _ := sealedWorld(t, 2)
	other.handle(due(1, "schedule"))
	again, _ := sealedWorld(t, 1)
	again.handle(due(1, "schedule"))
	for i, f := range slices {
		if c := plain.slices(1)[i]; c.Digest() != f.Digest() || c.Plain != "" || f.Raw.Blocks > 0 && c.Raw.Digest == f.Raw.Digest {
			t.Errorf("slice %d is another piece of work than in clear", i+1)
		}
		if o := other.slices(1)[i]; o.Digest() != f.Digest() || f.Raw.Blocks > 0 && o.Raw.Digest == f.Raw.Digest {
			t.Errorf("slice %d is another piece of work under another key", i+1)
		}
		if again.slices(1)[i].Raw.Digest != f.Raw.Digest {
			t.Errorf("slice %d has other bytes when it is collected again", i+1)
		}
	}
}

func TestBlocksWithoutPersonalColumnsStayInClear(t *testing.T) {
	w, keys := sealedWorld(t, 1)
	w.d.Columns[0].Classification = "internal"
	w.handle(due(1, "schedule"))
	if got := w.text(w.slices(1)); len(got) != 3 || keys.made {
		t.Errorf("read %v; a key was made: %t", got, keys.made)
	}
}

func TestNothingIsCollectedWithoutAKey(t *testing.T) {
	w, keys := sealedWorld(t, 1)
	keys.err = errors.New("sealed store")
	if err := w.collect.Handle(ctx, due(1, "schedule")); err == nil || !strings.Contains(err.Error(), "sealed store") || errors.Is(err, events.ErrInvalid) {
		t.Errorf("Handle = %v, want the error of the store, to be tried again", err)
	}
	if said := w.journal.Said(); len(said) > 0 {
		t.Errorf("it said %+v", said)
	}
	keys.err = nil
	w.handle(due(1, "schedule"))
	w.opened(keys, w.slices(1))
}

func TestALaterGenerationReadsTheSealedArchive(t *testing.T) {
	for _, slice := range []int64{1, 70, 100, 1 << 20} { // of the first generation: 100
		w, keys := sealedWorld(t, 1)
		w.handle(due(1, "schedule"))
		first := w.opened(keys, w.slices(1))
		files := w.archiveOf(1)
		w.collect.Archive = files
		w.d.Definition = "d2"
		if err := os.RemoveAll(w.d.Dir); err != nil {
			t.Fatal(err)
		}
		w.collect.SliceBytes, w.collect.Keys = slice, nil
		if err := w.collect.Handle(ctx, due(2, "contract")); !errors.Is(err, seal.ErrNoKey) {
			t.Fatalf("without a key: %v", err)
		}
		w.collect.Keys = keys
		w.handle(due(2, "contract"))
		if second := w.opened(keys, w.slices(2)); fmt.Sprint(second) != fmt.Sprint(first) {
			t.Errorf("slices of %d bytes: generation 2 holds other bytes", slice)
		}
	}
}

func TestADamagedSealedArchiveStopsTheWindow(t *testing.T) {
	name, other := "flights/raw/"+key+"/1/000002.zst", "flights/raw/"+key+"/1/000001.zst"
	tests := map[string]func(files warehouse, keys *ring){
		"cut off":         func(files warehouse, _ *ring) { files[name] = files[name][:len(files[name])-3] },
		"a changed byte":  func(files warehouse, _ *ring) { files[name][100]++ },
		"another slice":   func(files warehouse, _ *ring) { files[name] = files[other] },
		"another key":     func(_ warehouse, keys *ring) { keys.fill = 9 },
		"nothing is left": func(files warehouse, _ *ring) { files[name] = nil },
		"the key is gone": func(_ warehouse, keys *ring) { keys.made = false },
	}
	for what, spoil := range tests {
		w, keys := sealedWorld(t, 1)
		w.handle(due(1, "schedule"))
		files := w.archiveOf(1)
		w.collect.Archive = files
		w.d.Definition = "d2"
		spoil(files, keys)
		w.handle(due(2, "contract"))
		if stop := last[events.Stopped](w); stop.Generation != 2 {
			t.Errorf("%s: said %+v, want that generation 2 stopped", what, stop)
		}
	}
}
