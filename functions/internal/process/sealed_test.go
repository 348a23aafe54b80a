package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/block/seal"
)

// seals has the data key of every window.
type seals struct {
	fill byte
	err  error
}

func (s seals) Key(_ context.Context, dataset, window string) (*seal.Key, error) {
	if s.err != nil {
		return nil, s.err
	}
	return seal.NewKey(bytes.Repeat([]byte{s.fill}, seal.KeyBytes), dataset, window)
}

// sealed seals raw blocks as collect does.
func (w *world) sealed(raws ...raw) []raw {
	w.Helper()
	key, err := seals{fill: 1}.Key(w.Context(), w.piece.Dataset, w.piece.Window)
	if err != nil {
		w.Fatal(err)
	}
	slice, err := key.Slice(w.piece)
	if err != nil {
		w.Fatal(err)
	}
	out := make([]raw, len(raws))
	for i, r := range raws {
		value, err := block.EncodeRaw([]byte(r.data))
		if err != nil {
			w.Fatal(err)
		}
		out[i] = r
		if out[i].value, err = slice.Seal(value, seal.Mark{Index: i, Last: i == len(raws)-1, Fragment: r.fragment}); err != nil {
			w.Fatal(err)
		}
	}
	return out
}

func (w *world) handleSealed(s Seals) error {
	p := w.process()
	p.Seals = s
	return p.Handle(w.Context(), &events.Collected{Piece: w.piece})
}

var sealedRaws = []raw{
	{data: "day,n,text\n2001-01-05,1,canary-a\n2001-01-05,canary-b,2\n"},
	{data: "2001-01-06," + strings.Repeat("9", 20), fragment: true},
	{data: "\n2001-01-07,3,canary-c\n2001-01-07,4\n"},
}

func TestSealedBlocksAreOpened(t *testing.T) {
	w := newWorld(t)
	w.collect(events.Position{}, "", w.sealed(sealedRaws...)...)
	if err := w.handleSealed(seals{fill: 1}); err != nil {
		t.Fatal(err)
	}
	got := w.read()
	plain := newWorld(t)
	plain.collect(events.Position{}, "", sealedRaws...)
	if err := plain.handle(); err != nil {
		t.Fatal(err)
	}
	want := plain.read()
	if fmt.Sprint(got.Rows, got.Blocks, got.Sheet) != fmt.Sprint(want.Rows, want.Blocks, want.Sheet) || len(got.Rejects) != 3 {
		t.Errorf("sealed blocks give %+v, in clear they give %+v", got, want)
	}
	for i, r := range got.Rejects {
		reason := strings.SplitN(want.Rejects[i], "|", 3)[1]
		_, place, _ := strings.Cut(want.Rejects[i], "|a.csv|")
		if strings.Contains(r, "canary") || strings.Contains(r, "999") || !strings.HasPrefix(r, block.Withheld+"|"+reason+"|") || !strings.HasSuffix(r, "|a.csv|"+place) {
			t.Errorf("refused: %s, want %s of %s withheld", r, reason, place)
		}
	}
}

func TestSealedBlocksThatDoNotOpen(t *testing.T) {
	away := errors.New("the store is away")
	tests := map[string]struct {
		seals  Seals
		change func(raws []raw) []raw
		says   string
		never  bool // to be tried again
	}{
		"no key":           {nil, nil, "ALMANAC_ENVELOPE_KEY is not set", false},
		"a store away":     {seals{err: away}, nil, "the store is away", false},
		"another key":      {seals{fill: 2}, nil, "does not open", true},
		"the last missing": {seals{fill: 1}, func(r []raw) []raw { return r[:2] }, "before its last", true},
		"two swapped":      {seals{fill: 1}, func(r []raw) []raw { return []raw{r[1], r[0], r[2]} }, "block 1 stands where block 0", true},
		"one in clear":     {seals{fill: 1}, func(r []raw) []raw { r[1].value = nil; return r }, "not sealed, and those before it are", true},
		"the first in clear": {seals{fill: 1}, func(r []raw) []raw { r[0].value = nil; return r },
			"sealed, and those before it are not", true},
		"an end that moved": {seals{fill: 1}, func(r []raw) []raw { r[1].fragment = false; return r }, "another end", true},
		"a changed byte":    {seals{fill: 1}, func(r []raw) []raw { r[2].value[60]++; return r }, "does not open", true},
	}
	for name, tt := range tests {
		w := newWorld(t)
		raws := w.sealed(sealedRaws...)
		if tt.change != nil {
			raws = tt.change(raws)
		}
		w.collect(events.Position{}, "", raws...)
		err := w.handleSealed(tt.seals)
		if err == nil || !strings.Contains(err.Error(), tt.says) || errors.Is(err, events.ErrInvalid) != tt.never {
			t.Errorf("%s: Handle = %v, want %q; never again: %t", name, err, tt.says, tt.never)
		}
		if fact := said[events.Processed](w); fact.Dataset != "" {
			t.Errorf("%s: it said %+v", name, fact)
		}
	}
}
