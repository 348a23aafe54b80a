package process

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/process/vector"
)

var errStore = errors.New("the secrets store is sealed")

// lossy makes pseudonyms until it has been asked some times; less than 0 is never.
type lossy struct{ left *int }

func (f lossy) Append(_ context.Context, dst []byte, values [][]byte) ([]byte, error) {
	if *f.left == 0 {
		return nil, errStore
	}
	*f.left--
	for _, v := range values {
		var sum [32]byte
		copy(sum[:], v)
		dst = hex.AppendEncode(dst, sum[:])
	}
	return dst, nil
}

// TestAStoreThatIsLostWithinASliceLeavesNothing loses the key of pseudonyms after each number of blocks.
func TestAStoreThatIsLostWithinASliceLeavesNothing(t *testing.T) {
	const blocks = 5
	var want processed
	for lost := blocks; lost >= 0; lost-- { // the first run loses nothing
		w := newWorld(t)
		w.d.Columns[2].Classification = "personal"
		w.file("day,n,text\n"+strings.Repeat("2001-01-01,1,ann\n2001-01-01,x,bob\n", 50), 400)
		left := lost
		p := w.process()
		p.Pseudonyms = func() vector.Pseudonyms { return lossy{&left} }
		handle := func() error { return p.Handle(t.Context(), &events.Collected{Piece: w.piece}) }
		if err := handle(); lost == blocks {
			if err != nil {
				t.Fatal(err)
			}
			if want = w.read(); len(want.Blocks) != blocks || !strings.Contains(want.Rows[0], hex.EncodeToString([]byte("ann"))) {
				t.Fatalf("%d blocks, of which the first row is %q", len(want.Blocks), want.Rows[0])
			}
			continue
		} else if !errors.Is(err, errStore) || errors.Is(err, events.ErrInvalid) {
			t.Errorf("lost after %d blocks: %v, want an error that a retry can mend", lost, err)
		}
		if n := len(w.journal.Said()); n != 1 {
			t.Errorf("lost after %d blocks: %d facts, want the one of collect alone", lost, n)
		}
		left = -1
		if err := handle(); err != nil {
			t.Fatal(err)
		}
		if got := w.read(); !cmp.Equal(got, want) {
			t.Errorf("lost after %d blocks, then again: %s", lost, cmp.Diff(want, got))
		}
	}
}

// TestAParserThatIsUsedAgainNeverShowsValues takes the key away after a slice, so that the next one must not get rows at all.
func TestAParserThatIsUsedAgainNeverShowsValues(t *testing.T) {
	w := newWorld(t)
	w.d.Columns[2].Classification = "personal"
	w.file("day,n,text\n2001-01-01,1,ann\n", 1<<20)
	left := -1
	p := w.process()
	p.Pseudonyms = func() vector.Pseudonyms { return lossy{&left} }
	if err := p.Handle(t.Context(), &events.Collected{Piece: w.piece}); err != nil {
		t.Fatal(err)
	}
	p.Pseudonyms = nil
	w.piece.Slice = 2
	w.file("day,n,text\n2001-01-01,1,eve\n", 1<<20)
	if err := p.Handle(t.Context(), &events.Collected{Piece: w.piece}); err == nil || strings.Contains(err.Error(), "eve") {
		t.Errorf("Handle() = %v, want an error without the value", err)
	}
}
