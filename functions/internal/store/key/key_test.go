package key

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// TestOneHashOfAValueIsNotEnoughForAKey takes values that are equal once they are hashed on their own, before they are folded into the
// two hashes of a key: those must not both be equal.
func TestOneHashOfAValueIsNotEnoughForAKey(t *testing.T) {
	text := func(v uint64) string { return string(binary.LittleEndian.AppendUint64(nil, v)) }
	a, b := text(prime^8), text(prime2^bits.RotateLeft64(8, 29))
	if mix(8, binary.LittleEndian.Uint64([]byte(a))) != mix(8, binary.LittleEndian.Uint64([]byte(b))) {
		t.Fatal("the two texts are not those that the test needs")
	}
	schema := arrow.NewSchema([]arrow.Field{{Name: "s", Type: arrow.BinaryTypes.String}, {Name: "ordinal", Type: arrow.PrimitiveTypes.Int64}}, nil)
	rows := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer rows.Release()
	rows.Field(0).(*array.StringBuilder).AppendValues([]string{a, b}, nil)
	rows.Field(1).(*array.Int64Builder).AppendValues([]int64{0, 1}, nil)
	texts := NewSet([]string{"s"}, schema)
	texts.Add(rows.NewRecordBatch())
	if texts.entries[0].sameKey(texts.entries[1]) {
		t.Errorf("%q and %q are one key", a, b)
	}
	bld := array.NewDecimal128Builder(memory.DefaultAllocator, &arrow.Decimal128Type{Precision: 38})
	defer bld.Release()
	bld.Append(decimal128.New(0, prime))
	bld.Append(decimal128.New(1, prime^1))
	h := []uint64{0, 0}
	if Hash(h, bld.NewArray()); h[0] == h[1] {
		t.Errorf("two decimals have the hash %x", h[0])
	}
}

func TestRepeatsAreThoseOfAMap(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 9))
		files := make([]File, 1+r.IntN(5))
		seen := map[[2]uint64]bool{}
		want := map[int][]int64{}
		for slice := range files {
			var k Set
			ordinal := int64(0)
			for range r.IntN(30) {
				ordinal += 1 + r.Int64N(3)
				e := entry{r.Uint64N(4), r.Uint64N(4), ordinal}
				k.entries = append(k.entries, e)
				if r.IntN(10) == 0 {
					files[slice].Skip = append(files[slice].Skip, ordinal)
					continue
				}
				if key := [2]uint64{e.hi, e.lo}; seen[key] {
					want[slice] = append(want[slice], ordinal)
				} else {
					seen[key] = true
				}
			}
			files[slice].Entries = int64(len(k.entries))
			files[slice].Reader = bytes.NewReader(k.Bytes())
		}
		got, err := Repeats(files)
		if err != nil {
			t.Fatal(err)
		}
		for i := range files {
			if !slices.Equal(got[i], want[i]) {
				t.Fatalf("seed %d: slice %d repeats at %v, want %v", seed, i, got[i], want[i])
			}
		}
	}
}

func TestRepeatsRefusesTornKeys(t *testing.T) {
	k := Set{entries: []entry{{1, 2, 3}, {0, 9, 1}}}
	whole := k.Bytes()
	if first := decode(whole); first != (entry{0, 9, 1}) || binary.LittleEndian.Uint64(whole[8:]) != 9 {
		t.Errorf("the first entry is %+v", first)
	}
	for _, n := range []int{0, 1, entrySize - 1, entrySize, 2*entrySize - 1} {
		if got, err := Repeats([]File{{Reader: bytes.NewReader(whole[:n]), Entries: 2}}); err == nil {
			t.Errorf("Repeats of %d of %d bytes = %v, want an error", n, len(whole), got)
		}
	}
}
