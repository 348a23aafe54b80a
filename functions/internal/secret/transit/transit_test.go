package transit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/almanac-data/almanac/functions/internal/secret"
	"github.com/almanac-data/almanac/functions/internal/secret/reference"
	"github.com/almanac-data/almanac/functions/internal/secret/vault"
	"github.com/almanac-data/almanac/functions/internal/secret/vaulttest"
)

var pseudonym = reference.Key{Mount: "transit", Name: "almanac-pseudonym", Version: 1}

func open(t *testing.T, f *vaulttest.Fake) *Key {
	t.Helper()
	c, err := vault.Open(t.Context(), f.Config(t), "process", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	k, err := Open(t.Context(), c, pseudonym)
	if err != nil {
		t.Fatal(err)
	}
	f.SealAfter(-1) // forgets the batch of Open
	return k
}

// values are n texts, of which each stands for itself and again for some that follow.
func values(n, distinct int) (all [][]byte) {
	for i := range n {
		all = append(all, fmt.Appendf(nil, "person %d", i*7919%distinct))
	}
	return all
}

// same compares with the pseudonyms of a key file.
func same(t *testing.T, s *Slice, in [][]byte) {
	t.Helper()
	want, _ := secret.NewKey([]byte(vaulttest.HMACKey)).Append(t.Context(), []byte("before"), in)
	got, err := s.Append(t.Context(), []byte("before"), in)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("Append(%d values) = %d bytes, %v, and not what a key file gives", len(in), len(got), err)
	}
}

func TestPseudonymsAreThoseOfTheKeyInOrder(t *testing.T) {
	f := vaulttest.NewFake(t)
	s := open(t, f).Slice()
	same(t, s, nil)
	same(t, s, values(2500, 2500))
	same(t, s, append(values(10, 3), nil, []byte("")))
	if got := f.Batches(); !slices.Equal(got, []int{1000, 1000, 500, 1}) {
		t.Errorf("batches of %v values, want each distinct value once and at most 1000 together", got)
	}
}

func TestASliceRemembersWithinABound(t *testing.T) {
	f := vaulttest.NewFake(t)
	k := open(t, f)
	s := k.Slice()
	for range 3 {
		same(t, s, values(mostKnown+10000, mostKnown+10000))
		if len(s.known) >= mostKnown+batchValues || s.bytes > knownBytes+batchBytes {
			t.Errorf("it remembers %d values of %d bytes", len(s.known), s.bytes)
		}
	}
	long := [][]byte{bytes.Repeat([]byte("a"), batchBytes), bytes.Repeat([]byte("b"), batchBytes), []byte("c")}
	f.SealAfter(-1)
	same(t, k.Slice(), long)
	if got := f.Batches(); !slices.Equal(got, []int{1, 1, 1}) {
		t.Errorf("batches of %v values of 1 MiB each", got)
	}
}

func TestBatchesShrinkToWhatTheStoreTakes(t *testing.T) {
	f := vaulttest.NewFake(t)
	f.Most(300)
	k := open(t, f)
	same(t, k.Slice(), values(1200, 1200))
	same(t, k.Slice(), values(500, 500))
	if got := f.Batches(); !slices.Equal(got, []int{250, 250, 250, 250, 200, 250, 250}) {
		t.Errorf("batches of %v values", got)
	}
}

func TestAStoreThatIsLostLeavesTheSliceUsable(t *testing.T) {
	f := vaulttest.NewFake(t)
	s := open(t, f).Slice()
	f.SealAfter(2)
	got, err := s.Append(t.Context(), nil, values(2500, 2500))
	if err == nil || got != nil || !strings.Contains(err.Error(), "is sealed") || !vault.Passing(err) {
		t.Errorf("Append() = %d bytes, %v", len(got), err)
	}
	f.SealAfter(-1)
	same(t, s, values(2500, 2500))
}

// stingy answers too little.
type stingy struct{}

func (stingy) HMAC(_ context.Context, _ reference.Key, dst []byte, values [][]byte) ([]byte, error) {
	return append(dst, make([]byte, sumBytes*len(values)/2)...), nil
}

func TestAWrongAnswerIsAnError(t *testing.T) {
	s := (&Key{store: stingy{}}).Slice()
	s.key.most.Store(batchValues)
	if got, err := s.Append(t.Context(), nil, values(10, 10)); err == nil || errors.Is(err, vault.ErrTooMany) {
		t.Errorf("Append() = %x, %v", got, err)
	}
}

// pseudonyms are those of a slice, by whichever key.
type pseudonyms interface {
	Append(ctx context.Context, dst []byte, values [][]byte) ([]byte, error)
}

// BenchmarkAppend measures a slice of 100,000 values, of which none or nine of ten were there before, by the key file and by a real OpenBao.
func BenchmarkAppend(b *testing.B) {
	const n = 100_000
	bao := vaulttest.Start(b)
	c, err := vault.Open(b.Context(), bao.Config(b, "process"), "process", slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	k, err := Open(b.Context(), c, pseudonym)
	if err != nil {
		b.Fatal(err)
	}
	file := secret.NewKey([]byte("key"))
	for _, distinct := range []int{n, n / 10} {
		in := values(n, distinct)
		for name, key := range map[string]func() pseudonyms{
			"file":  func() pseudonyms { return file },
			"store": func() pseudonyms { return k.Slice() },
		} {
			b.Run(fmt.Sprintf("%s/distinct=%d", name, distinct), func(b *testing.B) {
				for b.Loop() {
					s, buf := key(), []byte(nil)
					for at := 0; at < n; at += 2000 {
						if buf, err = s.Append(b.Context(), buf[:0], in[at:at+2000]); err != nil {
							b.Fatal(err)
						}
					}
				}
				b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "values/s")
			})
		}
	}
}
