package encoding_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/almanac-data/almanac/functions/internal/lake/parquet/encoding"
)

// decode reads the hybrid form, as slowly and plainly as can be.
func decode(t *testing.T, data []byte, width, n int) []uint32 {
	t.Helper()
	var out []uint32
	for len(out) < n {
		header, size := binary.Uvarint(data)
		if size <= 0 {
			t.Fatalf("no header after %d of %d numbers", len(out), n)
		}
		data = data[size:]
		if header&1 == 0 {
			var v uint32
			for i := range (width + 7) / 8 {
				v |= uint32(data[i]) << (8 * i)
			}
			data = data[(width+7)/8:]
			for range header >> 1 {
				out = append(out, v)
			}
			continue
		}
		count := int(header>>1) * 8
		for i := range count {
			var v uint32
			for b := range width {
				at := i*width + b
				v |= uint32(data[at/8]>>(at%8)&1) << b
			}
			out = append(out, v)
		}
		data = data[count*width/8:]
	}
	if len(data) > 0 {
		t.Errorf("%d bytes are left", len(data))
	}
	return out[:n]
}

func FuzzLevels(f *testing.F) {
	f.Add([]byte{1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9}, uint8(4), uint8(3))
	f.Add(bytes.Repeat([]byte{7}, 100), uint8(3), uint8(50))
	f.Fuzz(func(t *testing.T, numbers []byte, width, repeat uint8) {
		w := int(width%17) + 1
		var l encoding.Levels
		var want []uint32
		for i, b := range numbers {
			v := uint32(b) * 257 & (1<<w - 1)
			if i%3 == 0 {
				l.Repeat(v, int(repeat))
				want = append(want, slices.Repeat([]uint32{v}, int(repeat))...)
				continue
			}
			copy(l.Extend(2), []uint32{v, 0})
			l.Cut(1)
			want = append(want, v)
		}
		if l.Len() != len(want) {
			t.Fatalf("Len() = %d, want %d", l.Len(), len(want))
		}
		if len(want) == 0 {
			return
		}
		if got := decode(t, l.Append(nil, w), w, len(want)); !slices.Equal(got, want) {
			t.Errorf("width %d: read %v, want %v", w, got, want)
		}
		for i := range want {
			if l.At(i) != want[i] {
				t.Fatalf("At(%d) = %d, want %d", i, l.At(i), want[i])
			}
		}
	})
}

// undelta reads DELTA_BINARY_PACKED, plainly.
func undelta(t *testing.T, data []byte) []int64 {
	t.Helper()
	unsigned := func() uint64 {
		v, n := binary.Uvarint(data)
		data = data[n:]
		return v
	}
	signed := func() int64 {
		v, n := binary.Varint(data)
		data = data[n:]
		return v
	}
	block, minis, total := unsigned(), unsigned(), unsigned()
	last := signed()
	if total == 0 {
		return nil
	}
	out := []int64{last}
	for uint64(len(out)) < total {
		least := signed()
		widths := data[:minis]
		data = data[minis:]
		for _, width := range widths {
			size := int(block/minis) * int(width) / 8
			if uint64(len(out)) >= total {
				if width != 0 {
					t.Errorf("a miniblock without numbers has width %d", width)
				}
				continue
			}
			for i := range int(block / minis) {
				if uint64(len(out)) == total {
					break
				}
				var v uint64
				for b := range int(width) {
					at := i*int(width) + b
					v |= uint64(data[at/8]>>(at%8)&1) << b
				}
				last += least + int64(v)
				out = append(out, last)
			}
			data = data[size:]
		}
	}
	if len(data) > 0 {
		t.Errorf("%d bytes are left", len(data))
	}
	return out
}

func TestDeltaIsReadBack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for name, next := range map[string]func(i int) int64{
		"counter":    func(i int) int64 { return int64(i) },
		"constant":   func(int) int64 { return -7 },
		"times":      func(i int) int64 { return 978307200000000 + int64(i)*60e6 + r.Int64N(1e6) },
		"anything":   func(int) int64 { return int64(r.Uint64()) },
		"extremes":   func(i int) int64 { return []int64{math.MinInt64, math.MaxInt64, 0, -1}[i%4] },
		"descending": func(i int) int64 { return int64(-i * i) },
	} {
		for _, n := range []int{0, 1, 2, 32, 33, 128, 129, 130, 257, 1000} {
			values := make([]int64, n)
			for i := range values {
				values[i] = next(i)
			}
			if got := undelta(t, encoding.AppendDelta(nil, values)); !slices.Equal(got, values) {
				t.Errorf("%s: of %d numbers %v is read, want %v", name, n, got, values)
			}
		}
	}
}

func TestWidth(t *testing.T) {
	for most, want := range map[int]int{0: 0, 1: 1, 2: 2, 3: 2, 255: 8, 256: 9, 65535: 16} {
		if got := encoding.Width(most); got != want {
			t.Errorf("Width(%d) = %d, want %d", most, got, want)
		}
	}
}

func TestThriftStruct(t *testing.T) {
	var s encoding.Thrift
	s.Reset(nil)
	s.I32(1, -1)
	s.Bool(2, true)
	s.Structs(20, 16)
	for range 16 {
		s.Item(func() { s.I32(1, 5) })
	}
	s.Text(21, "é")
	// By hand, from the compact protocol's specification.
	want := append([]byte{0x15, 0x01, 0x11, 0x09, 0x28, 0xfc, 16}, bytes.Repeat([]byte{0x15, 0x0a, 0x00}, 16)...)
	want = append(want, 0x19, 0x18, 2, 0xc3, 0xa9, 0x00)
	if got := s.Bytes(); !bytes.Equal(got, want) {
		t.Errorf("struct is % x, want % x", got, want)
	}
}
