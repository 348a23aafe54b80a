package collect

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/almanac-data/almanac/events"
)

// warehouse holds archive files in memory.
type warehouse map[string][]byte

func (w warehouse) Open(_ context.Context, path string) (io.ReadCloser, error) {
	data, ok := w[path]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// archiveOf stages and stores the generation as store does: the raw blocks of each slice, one after the other.
func (w *world) archiveOf(generation int) warehouse {
	w.t.Helper()
	files := warehouse{}
	for _, f := range w.slices(generation) {
		var raw []byte
		for b, err := range w.blocks.Read(ctx, f.Raw) {
			if err != nil {
				w.t.Fatal(err)
			}
			raw = append(raw, b.Value...)
		}
		sum := sha256.Sum256(raw)
		file := events.File{Path: fmt.Sprintf("flights/raw/%s/%d/%06d.zst", key, generation, f.Slice), Bytes: int64(len(raw)), Digest: hex.EncodeToString(sum[:])}
		files[file.Path] = raw
		if err := w.journal.Say(ctx, events.Staged{Piece: f.Piece, Last: f.Last, Raw: file, Plain: f.Archive}); err != nil {
			w.t.Fatal(err)
		}
	}
	w.store(generation)
	return files
}

func archivedWorld(t *testing.T) (*world, warehouse) {
	w := newWorld(t, "in/*", map[string]string{"in/a": lines(30), "in/b": "", "in/c": lines(20)})
	w.handle(due(1, "schedule"))
	files := w.archiveOf(1)
	w.collect.Archive = files
	w.d.Definition = "d2"
	return w, files
}

func TestALaterGenerationReadsTheArchive(t *testing.T) {
	for _, slice := range []int64{1, 70, 100, 1 << 20} { // of the first generation: 100
		w, _ := archivedWorld(t)
		if err := os.RemoveAll(w.d.Dir); err != nil {
			t.Fatal(err)
		}
		w.collect.SliceBytes = slice
		w.collect.Journal = &deaf{w.journal, 2}
		_ = w.collect.Handle(ctx, due(2, "contract"))
		w.collect.Journal = w.journal
		w.handle(due(2, "contract"))
		got := w.collected(2, lines(30), "", lines(20))
		if got[0].Pin.Content() != w.slices(1)[0].Pin.Content() || got[0].Reason != "contract" || got[len(got)-1].Header != "date,delay,origin" {
			t.Errorf("collected %+v, want the pin of generation 1", got)
		}
	}
}

func TestTheSourceIsReadWhereTheArchiveIsNotWhole(t *testing.T) {
	tests := map[string]func(w *world, files warehouse){
		"a restated source": nil,
		"no warehouse":      func(w *world, _ warehouse) { w.collect.Archive = nil },
		"a staged fact is gone": func(w *world, _ warehouse) {
			_ = w.journal.Retract(ctx, events.Staged{Piece: due(1, "").At(2)})
		},
	}
	for name, spoil := range tests {
		w, files := archivedWorld(t)
		w.put("in/a", lines(31))
		reason := "contract"
		if spoil == nil {
			reason = "restated"
		} else {
			spoil(w, files)
		}
		w.handle(due(2, reason))
		if got := w.text(w.slices(2)); got[0] != lines(31) {
			t.Errorf("%s: file 0 is %q, want that of the source", name, got[0])
		}
	}
}

func TestADamagedArchiveStopsTheWindow(t *testing.T) {
	name := "flights/raw/" + key + "/1/000002.zst"
	tests := map[string]struct {
		spoil   func(files warehouse)
		waiting bool
	}{
		"cut off":        {func(files warehouse) { files[name] = files[name][:len(files[name])-3] }, false},
		"other bytes":    {func(files warehouse) { files[name] = []byte("not zstd at all") }, false},
		"another slice":  {func(files warehouse) { files[name] = files["flights/raw/"+key+"/1/000001.zst"] }, false},
		"a missing file": {func(files warehouse) { delete(files, name) }, true},
	}
	for what, tt := range tests {
		w, files := archivedWorld(t)
		tt.spoil(files)
		w.handle(due(2, "contract"))
		stop := last[events.Stopped](w)
		if stop.Waiting != tt.waiting || !strings.Contains(stop.Detail, name) || !strings.Contains(stop.Detail, "restore it") {
			t.Errorf("%s: said %+v, want that %s be restored", what, stop, name)
		}
	}
}
