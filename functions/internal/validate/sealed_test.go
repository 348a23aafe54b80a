package validate

import (
	"bytes"
	"strings"
	"testing"

	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/block/seal"
)

// seal puts sealed raw blocks in the place of those that are collected.
func (w *world) seal() {
	w.t.Helper()
	key, err := seal.NewKey(bytes.Repeat([]byte{1}, seal.KeyBytes), piece.Dataset, piece.Window)
	w.must(err)
	slice, err := key.Slice(piece)
	w.must(err)
	out := w.open(block.RawTopic("flights"))
	for b, err := range w.blocks.Read(ctx, w.collected.Raw) {
		w.must(err)
		b.Value, err = slice.Seal(b.Value, seal.Mark{Index: b.Index, Last: b.Index == w.collected.Raw.Blocks-1, Fragment: b.Fragment})
		w.must(err)
		w.must(out.Append(ctx, b))
	}
	w.collected.Plain = w.collected.Raw.Digest
	w.collected.Raw = w.claim(out)
	w.must(w.journal.Say(ctx, w.collected))
}

// TestBytesOfSealedRecordsStayWithheld holds that this step needs no key.
func TestBytesOfSealedRecordsStayWithheld(t *testing.T) {
	blocks := []raw{
		records(at+",1,ABC\n", "!ragged\n", at+",1441,ABC\n"), {[]string{"!xxx"}, true}, records("xxx\n", at+",2,ABC\n"), records(at+",3,XX\n", at+",4,ABC\n"),
	}
	plain, w := newWorld(t, "date,delay,origin\n", blocks...), newWorld(t, "date,delay,origin\n", blocks...)
	w.seal()
	want, got := plain.handle(), w.handle()
	equal(t, "rows", w.values(got.Rows), plain.values(want.Rows))
	equal(t, "sheet", got.Sheet, want.Sheet)
	equal(t, "reasons", got.Reasons, want.Reasons)
	var withheld []string
	for _, r := range plain.values(want.Quarantine[1]) {
		_, rest, _ := strings.Cut(r, "|")
		withheld = append(withheld, block.Withheld+"|"+rest)
	}
	if len(withheld) != 2 {
		t.Fatalf("%d rows were refused", len(withheld))
	}
	equal(t, "quarantine", w.values(got.Quarantine[1]), withheld)
}
