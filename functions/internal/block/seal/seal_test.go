package seal

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/almanac-data/almanac/events"
)

var piece = events.Piece{Dataset: "shop", Window: "2001-01-05", Generation: 2, Slice: 3}

func sliceOf(tb testing.TB, fill byte, p events.Piece) *Slice {
	tb.Helper()
	key, err := NewKey(bytes.Repeat([]byte{fill}, KeyBytes), p.Dataset, p.Window)
	if err != nil {
		tb.Fatal(err)
	}
	s, err := key.Slice(p)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func sealed(tb testing.TB, s *Slice, value string, m Mark) []byte {
	tb.Helper()
	out, err := s.Seal([]byte(value), m)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// fileOf is a file of three blocks.
func fileOf(tb testing.TB, s *Slice) (blocks [][]byte) {
	tb.Helper()
	for i, value := range []string{"one", "", strings.Repeat("three", 1000)} {
		blocks = append(blocks, sealed(tb, s, value, Mark{Index: i, Last: i == 2, Fragment: i == 0}))
	}
	return blocks
}

func TestOpenGivesWhatWasSealed(t *testing.T) {
	s := sliceOf(t, 7, piece)
	for i, value := range []string{"", "x", strings.Repeat("canary", 100_000)} {
		for _, m := range []Mark{{Index: i}, {Index: i, Last: true}, {Index: i, Fragment: true}, {Index: i, Last: true, Fragment: true}} {
			out := sealed(t, s, value, m)
			if !Is(out) || len(out) != len(value)+65 || bytes.Contains(out, []byte("canary")) {
				t.Errorf("Seal of %d bytes gives %d", len(value), len(out))
			}
			got, mark, err := s.Open(nil, out, i)
			if err != nil || string(got) != value || mark != m {
				t.Errorf("Open = %d bytes, %+v, %v, want %d, %+v", len(got), mark, err, len(value), m)
			}
		}
	}
}

func TestSealingAgainGivesTheSameBytes(t *testing.T) {
	m := Mark{Index: 4}
	once, again := sealed(t, sliceOf(t, 7, piece), "value", m), sealed(t, sliceOf(t, 7, piece), "value", m)
	if !bytes.Equal(once, again) {
		t.Error("the same value at the same place is sealed to other bytes")
	}
	other := sealed(t, sliceOf(t, 7, piece), "valuf", m)
	if bytes.Equal(once[headBytes:headBytes+saltBytes], other[headBytes:headBytes+saltBytes]) {
		t.Error("two values share a salt, and so the key and nonce of their blocks")
	}
	for what, place := range map[string][]byte{
		"another block": sealed(t, sliceOf(t, 7, piece), "value", Mark{Index: 5}), "the last": sealed(t, sliceOf(t, 7, piece), "value", Mark{Index: 4, Last: true}),
		"another slice": sealed(t, sliceOf(t, 7, piece.At(9)), "value", m), "another key": sealed(t, sliceOf(t, 8, piece), "value", m),
	} {
		if bytes.Equal(once[headBytes+saltBytes:], place[headBytes+saltBytes:]) {
			t.Errorf("%s has the same ciphertext", what)
		}
	}
}

// TestFormIsFrozen holds the bytes: what is sealed now must open for years.
func TestFormIsFrozen(t *testing.T) {
	const want = "616c6d7365616c01010000000300000015272dca7a594879f15b97d56e88a0a8f80811bffe507618b2223936df880d82b134fd0a8b9b70aca0d2b49a4fc290dd2c1d91d06629"
	got := hex.EncodeToString(sealed(t, sliceOf(t, 7, piece), "value", Mark{Index: 3, Last: true}))
	if got != want {
		t.Errorf("Seal = %s, want %s", got, want)
	}
}

func TestABlockOpensAtItsPlaceAlone(t *testing.T) {
	block := sealed(t, sliceOf(t, 7, piece), "value", Mark{Index: 4})
	other := piece
	for what, p := range map[string]events.Piece{
		"another dataset":    {Dataset: "shops", Window: "2001-01-05", Generation: 2, Slice: 3},
		"another window":     {Dataset: "shop", Window: "2001-01-06", Generation: 2, Slice: 3},
		"another generation": {Dataset: "shop", Window: "2001-01-05", Generation: 3, Slice: 3},
		"another slice":      {Dataset: "shop", Window: "2001-01-05", Generation: 2, Slice: 2},
		"digits moved":       {Dataset: "shop", Window: "2001-01-05", Generation: 23, Slice: 0},
	} {
		if _, _, err := sliceOf(t, 7, p).Open(nil, block, 4); !errors.Is(err, ErrChanged) {
			t.Errorf("%s: Open = %v, want ErrChanged", what, err)
		}
	}
	if _, _, err := sliceOf(t, 8, piece).Open(nil, block, 4); !errors.Is(err, ErrChanged) {
		t.Errorf("another key: Open = %v, want ErrChanged", err)
	}
	if _, _, err := sliceOf(t, 7, piece).Open(nil, block, 5); err == nil || !strings.Contains(err.Error(), "sealed block 4 stands where block 5 must be") {
		t.Errorf("another index: Open = %v", err)
	}
	for at := range block {
		changed := bytes.Clone(block)
		changed[at] ^= 1
		if _, _, err := sliceOf(t, 7, piece).Open(nil, changed, 4); err == nil {
			t.Errorf("byte %d changed: the block opens", at)
		}
	}
	for n := range block {
		if _, _, err := sliceOf(t, 7, piece).Open(nil, block[:n], 4); err == nil {
			t.Errorf("cut off after %d bytes: the block opens", n)
		}
	}
	other.Window = "2001-01-06"
	key, err := NewKey(make([]byte, KeyBytes), piece.Dataset, piece.Window)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := key.Slice(other); err == nil {
		t.Error("a key gives slices of another window")
	}
	if _, err := NewKey(make([]byte, 16), "shop", "2001-01-05"); err == nil {
		t.Error("a key of 16 bytes is taken")
	}
}

func TestCheckTellsKeysApart(t *testing.T) {
	check := func(fill byte, window string) string {
		k, err := NewKey(bytes.Repeat([]byte{fill}, KeyBytes), "shop", window)
		if err != nil {
			t.Fatal(err)
		}
		return k.Check()
	}
	if a := check(1, "2001-01-05"); len(a) != 32 || a != check(1, "2001-01-05") || a == check(2, "2001-01-05") || a == check(1, "2001-01-06") {
		t.Errorf("Check() = %s", a)
	}
}

func TestReader(t *testing.T) {
	blocks := fileOf(t, sliceOf(t, 7, piece))
	a, b, c := blocks[0], blocks[1], blocks[2]
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	tests := map[string]struct {
		file []byte
		want string // what is read before the error
		says string // empty: none
	}{
		"the whole":            {join(a, b, c), "one" + strings.Repeat("three", 1000), ""},
		"nothing":              {nil, "", "ends after 0 sealed blocks"},
		"the last is missing":  {join(a, b), "one", "ends after 2 sealed blocks"},
		"the first is missing": {join(b, c), "", "block 1 stands where block 0"},
		"one in between":       {join(a, c), "one", "block 2 stands where block 1"},
		"two swapped":          {join(b, a, c), "", "block 1 stands where block 0"},
		"one twice":            {join(a, a, b, c), "one", "block 0 stands where block 1"},
		"more behind":          {join(a, b, c, []byte("x")), "one" + strings.Repeat("three", 1000), "behind the last"},
		"another file behind":  {join(a, b, c, a), "one" + strings.Repeat("three", 1000), "behind the last"},
		"clear bytes behind":   {join(a, []byte(strings.Repeat("(\xb5\x2f\xfd", 30))), "one", "not sealed"},
		"cut in a head":        {join(a, b[:20]), "one", "unexpected EOF"},
		"cut in a block":       {join(a, b, c[:1000]), "one", "unexpected EOF"},
		"of another slice":     {join(a, b, fileOf(t, sliceOf(t, 7, piece.At(4)))[2]), "one", "does not open"},
	}
	for name, tt := range tests {
		for how, in := range map[string]io.Reader{"whole": bytes.NewReader(tt.file), "byte by byte": iotest.OneByteReader(bytes.NewReader(tt.file))} {
			got, err := io.ReadAll(NewReader(in, sliceOf(t, 7, piece)))
			if string(got) != tt.want || (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%s, %s: %d bytes, %v; want %d bytes and an error with %q", name, how, len(got), err, len(tt.want), tt.says)
			}
		}
	}
	broken := io.MultiReader(bytes.NewReader(a), iotest.ErrReader(errors.New("disk")))
	if _, err := io.ReadAll(NewReader(broken, sliceOf(t, 7, piece))); err == nil || err.Error() != "disk" {
		t.Errorf("an error of the file: %v", err)
	}
}

// FuzzReader holds that whatever stands in a file, nothing is read but a beginning of what was sealed, and that the end is told only at its end.
func FuzzReader(f *testing.F) {
	blocks := fileOf(f, sliceOf(f, 7, piece))
	whole := bytes.Join(blocks, nil)
	f.Add(whole)
	f.Add(bytes.Join(blocks[:2], nil))
	f.Add(append(bytes.Clone(blocks[0]), blocks[2]...))
	f.Add([]byte(magic + "\x01\x00\x00\x00\x00\xff\xff\xff\xff" + strings.Repeat("x", 80)))
	want := "one" + strings.Repeat("three", 1000)
	f.Fuzz(func(t *testing.T, file []byte) {
		got, err := io.ReadAll(NewReader(bytes.NewReader(file), sliceOf(t, 7, piece)))
		if !strings.HasPrefix(want, string(got)) {
			t.Errorf("%d bytes were read that nobody sealed", len(got))
		}
		if err == nil && !bytes.Equal(file, whole) {
			t.Error("another file was read without an error")
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	bench(b, func(s *Slice, value, _ []byte) { _, _ = s.Seal(value, Mark{}) })
}

func BenchmarkOpen(b *testing.B) {
	var dst []byte
	bench(b, func(s *Slice, _, out []byte) { dst, _, _ = s.Open(dst, out, 0) })
}

func bench(b *testing.B, do func(s *Slice, value, out []byte)) {
	b.Helper()
	for _, size := range []int{1 << 10, 64 << 10, 512 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			value := make([]byte, size)
			_, _ = rand.Read(value)
			s := sliceOf(b, 7, piece)
			out := sealed(b, s, string(value), Mark{})
			b.SetBytes(int64(size))
			for b.Loop() {
				do(s, value, out)
			}
		})
	}
}
