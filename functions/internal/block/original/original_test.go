package original

import (
	"errors"
	"iter"
	"strings"
	"testing"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/dataset"
)

var format = dataset.Format{Kind: "csv", Delimiter: ',', Quote: '"', Header: true}

type raw struct {
	text     string
	fragment bool
}

// raws yields raw blocks from the start of a file, or from later on.
func raws(t *testing.T, at int64, all ...raw) iter.Seq2[block.Block, error] {
	t.Helper()
	return func(yield func(block.Block, error) bool) {
		for i, r := range all {
			value, err := block.EncodeRaw([]byte(r.text))
			if err != nil {
				t.Fatal(err)
			}
			if !yield(block.Block{Index: i, From: events.Position{Offset: at}, Fragment: r.fragment, Value: value}, nil) {
				return
			}
			at += int64(len(r.text))
		}
	}
}

var slice = []raw{
	{"h,i\na,1\n\n\"b\n\",2\n", false}, {"c,3\n", false}, {"looo", true}, {"oooo", true}, {"oong,4\nd,5\n", false}, {"e,6", true}, {"\n", false}, {"f,7\ng,8", false},
}

func TestFind(t *testing.T) {
	want := []string{"a,1", "\"b\n\",2", "c,3", "looo", "d,5", "e,6", "f,7", "g,8"}
	for skip := range len(want) + 1 { // every part of them, in order
		find := New(format, raws(t, 0, slice...))
		for n := skip; n < len(want); n += 1 + skip/2 {
			got, err := find.Find(int64(n))
			if err != nil || string(got) != want[n] {
				t.Errorf("Find(%d) = %q, %v, want %q", n, got, err, want[n])
			}
		}
		find.Close()
	}
	later := New(format, raws(t, 500, slice[0]))
	defer later.Close()
	if got, err := later.Find(1); err != nil || string(got) != "a,1" {
		t.Errorf("behind the start of a file: Find(1) = %q, %v", got, err)
	}
}

func TestFindRefuses(t *testing.T) {
	find := New(format, raws(t, 0, slice...))
	defer find.Close()
	if _, err := find.Find(2); err != nil {
		t.Fatal(err)
	}
	for n, says := range map[int64]string{2: "already asked for", 0: "already asked for", 8: "no raw block"} {
		if got, err := find.Find(n); !errors.Is(err, events.ErrInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("Find(%d) = %q, %v, want an error with %q", n, got, err, says)
		}
	}
	disk := errors.New("disk")
	broken := New(format, func(yield func(block.Block, error) bool) { yield(block.Block{}, disk) })
	defer broken.Close()
	if _, err := broken.Find(0); !errors.Is(err, disk) {
		t.Errorf("Find = %v, want %v", err, disk)
	}
}
