package cut

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/almanac-data/almanac/functions/internal/dataset"
)

var csv = dataset.Format{Kind: "csv", Delimiter: ',', Quote: '"', Header: true}

type cutting struct {
	data   string
	inside bool
}

func blocks(t *testing.T, source io.Reader, target int) []cutting {
	t.Helper()
	c := New(csv, source, target)
	var all []cutting
	for {
		data, err := c.Next()
		if errors.Is(err, io.EOF) {
			if more, err := c.More(); more || err != nil {
				t.Fatalf("More at the end = %v, %v", more, err)
			}
			return all
		}
		if err != nil {
			t.Fatalf("Next: %v", err)
		}
		all = append(all, cutting{string(data), c.Inside()})
	}
}

// messy is text of random records: short, long, quoted, with newlines, without an end to their quotes.
func messy(r *rand.Rand, n int) string {
	var b strings.Builder
	for b.Len() < n {
		switch r.IntN(12) {
		case 0:
			b.WriteString("\"a\nb\",\"c\"\"d\"\r\n")
		case 1:
			b.WriteString("x,\"not closed\n")
		case 2:
			b.WriteString(strings.Repeat("long", r.IntN(40)) + "\n")
		case 3:
			b.WriteString("\n\r\n")
		case 4:
			b.WriteString("a,\"b\"c\n")
		default:
			fmt.Fprintf(&b, "%d,%d\n", r.IntN(1000), r.IntN(10))
		}
	}
	if r.IntN(2) == 0 {
		b.WriteString("no line end")
	}
	return b.String()
}

func TestBlocksAreTheStream(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		text := messy(r, r.IntN(2000))
		target := 1 + r.IntN(200)
		all := blocks(t, strings.NewReader(text), target)
		var joined strings.Builder
		for i, b := range all {
			at := joined.Len()
			joined.WriteString(b.data)
			if len(b.data) == 0 || len(b.data) > 2*target {
				t.Fatalf("seed %d, target %d: block %d has %d bytes", seed, target, i, len(b.data))
			}
			if last := i == len(all)-1; last == b.inside && last || !last && !b.inside && !strings.HasSuffix(b.data, "\n") {
				t.Fatalf("seed %d, target %d: block %d ends in %q, fragment %v", seed, target, i, b.data[max(0, len(b.data)-5):], b.inside)
			}
			if i > 0 && !all[i-1].inside { // whoever starts at a cut makes the same blocks
				if again := blocks(t, strings.NewReader(text[at:]), target); !slices.Equal(again, all[i:]) {
					t.Fatalf("seed %d, target %d: from block %d: %v, want %v", seed, target, i, again, all[i:])
				}
			}
		}
		if joined.String() != text {
			t.Fatalf("seed %d, target %d: blocks joined differ from the stream", seed, target)
		}
		for name, slow := range map[string]io.Reader{"one byte": iotest.OneByteReader(strings.NewReader(text)), "data with the end": iotest.DataErrReader(strings.NewReader(text))} {
			if again := blocks(t, slow, target); !slices.Equal(again, all) {
				t.Fatalf("seed %d, target %d, %s: %v, want %v", seed, target, name, again, all)
			}
		}
	}
}

func TestALongRecordComesInFragments(t *testing.T) {
	tests := map[string]struct {
		text string
		want []cutting
	}{
		"a record up to twice the target is whole": {"a\n" + strings.Repeat("b", 18) + "\nc\n", []cutting{{"a\n", false}, {strings.Repeat("b", 18) + "\n", false}, {"c\n", false}}},
		"a longer one is not":                      {strings.Repeat("b", 45) + "\nc\n", []cutting{{strings.Repeat("b", 20), true}, {strings.Repeat("b", 20), true}, {"bbbbb\n", false}, {"c\n", false}}},
		"its end at the end of the stream":         {strings.Repeat("b", 40), []cutting{{strings.Repeat("b", 20), true}, {strings.Repeat("b", 20), false}}},
	}
	for name, tt := range tests {
		if got := blocks(t, strings.NewReader(tt.text), 10); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

func TestErrorsOfTheStreamArePassedOn(t *testing.T) {
	broken := errors.New("broken")
	for name, source := range map[string]io.Reader{
		"in a block":    io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(broken)),
		"in a fragment": io.MultiReader(strings.NewReader(strings.Repeat("b", 30)), iotest.ErrReader(broken)),
	} {
		c := New(csv, source, 10)
		var err error
		for err == nil {
			_, err = c.Next()
		}
		if !errors.Is(err, broken) {
			t.Errorf("%s: error = %v, want %v", name, err, broken)
		}
	}
	if _, err := New(csv, stuck{}, 10).Next(); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("Next of a stuck stream: error = %v, want %v", err, io.ErrNoProgress)
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

func FuzzCut(f *testing.F) {
	f.Add([]byte("a,b\n\"x\ny\",2\n"), 4)
	f.Add([]byte("\"\n\"\"\n,"), 1)
	f.Fuzz(func(t *testing.T, text []byte, target int) {
		if target < 1 || target > 1000 {
			return
		}
		var joined bytes.Buffer
		for _, b := range blocks(t, bytes.NewReader(text), target) {
			joined.WriteString(b.data)
		}
		if !bytes.Equal(joined.Bytes(), text) {
			t.Fatalf("blocks joined are %q, want %q", joined.Bytes(), text)
		}
	})
}
