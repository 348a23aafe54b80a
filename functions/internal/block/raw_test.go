package block

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func TestRawValueDependsOnTheBytesAlone(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 50 {
		data := lines(r, r.IntN(MaxRaw))
		first, err := EncodeRaw(data)
		if err != nil {
			t.Fatalf("EncodeRaw: %v", err)
		}
		fresh, err := zstd.NewWriter(nil, append(rawOptions[:2:2], zstd.WithEncoderConcurrency(1))...)
		if err != nil {
			t.Fatal(err)
		}
		if want := fresh.EncodeAll(data, nil); !bytes.Equal(first, want) {
			t.Fatalf("EncodeRaw of block %d by a used encoder differs from a new one's", i)
		}
		back, err := DecodeRaw(nil, first)
		if err != nil || !bytes.Equal(back, data) {
			t.Fatalf("DecodeRaw gave %d bytes, %v, want the %d encoded", len(back), err, len(data))
		}
	}
}

func TestDecodeRawRefusesABomb(t *testing.T) {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	bomb := w.EncodeAll(make([]byte, 64<<20), nil)
	if got, err := DecodeRaw(nil, bomb); err == nil {
		t.Errorf("DecodeRaw of %d bytes gave %d bytes, want an error", len(bomb), len(got))
	}
}

func lines(r *rand.Rand, n int) []byte {
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "2001-01-%02d 00:%02d:00,%d,%d,ABC,%03d\n", r.IntN(30), r.IntN(60), r.IntN(100), r.IntN(3000), r.IntN(300))
	}
	return b.Bytes()
}
