package store

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// A key file holds one entry of 24 bytes per row of a slice whose key has no null, sorted: 128 bits of hash over the key's columns, and the ordinal.
// Two hashes of 64 bits with different seeds stand in for the key: the chance that two of a billion keys meet is below 10^-20.
const keyEntrySize = 24

type keyEntry struct {
	hi, lo  uint64
	ordinal int64
}

func (a keyEntry) compare(b keyEntry) int {
	return cmp.Or(cmp.Compare(a.hi, b.hi), cmp.Compare(a.lo, b.lo), cmp.Compare(a.ordinal, b.ordinal))
}

func (a keyEntry) sameKey(b keyEntry) bool { return a.hi == b.hi && a.lo == b.lo }

// keySet gathers the entries of one slice; its memory is 24 bytes a row.
type keySet struct {
	columns []int
	entries []keyEntry
}

func newKeySet(names []string, schema *arrow.Schema) *keySet {
	k := &keySet{}
	for _, name := range names {
		k.columns = append(k.columns, schema.FieldIndices(name)[0])
	}
	return k
}

func (k *keySet) add(batch arrow.RecordBatch) {
	n := int(batch.NumRows())
	hi, lo := make([]uint64, n), make([]uint64, n)
	for i := range lo {
		lo[i] = prime
	}
	for _, c := range k.columns {
		hashRows(hi, batch.Column(c))
		hashRows(lo, batch.Column(c))
	}
	ordinals := batch.Column(int(batch.NumCols()) - 1).(*array.Int64).Int64Values()
	for i, ordinal := range ordinals {
		if !k.anyNull(batch, i) {
			k.entries = append(k.entries, keyEntry{hi[i], lo[i], ordinal})
		}
	}
}

// anyNull says whether a row has no value in a column of the key. Null equals nothing, as in SQL: such a row repeats no other.
func (k *keySet) anyNull(batch arrow.RecordBatch, row int) bool {
	for _, c := range k.columns {
		if batch.Column(c).IsNull(row) {
			return true
		}
	}
	return false
}

func (k *keySet) sorted() []byte {
	slices.SortFunc(k.entries, keyEntry.compare)
	out := make([]byte, 0, len(k.entries)*keyEntrySize)
	for _, e := range k.entries {
		out = binary.LittleEndian.AppendUint64(out, e.hi)
		out = binary.LittleEndian.AppendUint64(out, e.lo)
		out = binary.LittleEndian.AppendUint64(out, uint64(e.ordinal))
	}
	return out
}

func decodeKey(b []byte) keyEntry {
	return keyEntry{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:]), int64(binary.LittleEndian.Uint64(b[16:]))}
}

// keyStream reads the entries of one slice in order.
type keyStream struct {
	r     *bufio.Reader
	entry keyEntry
	read  int64
	done  bool
}

func (k *keyStream) next() error {
	var b [keyEntrySize]byte
	_, err := io.ReadFull(k.r, b[:])
	switch {
	case errors.Is(err, io.EOF):
		k.done = true
		return nil
	case err != nil:
		return fmt.Errorf("read keys: %w", err)
	}
	k.entry = decodeKey(b[:])
	k.read++
	return nil
}

// keyFile is an open key file, the number of its entries, and the sorted ordinals of those to pass over.
type keyFile struct {
	io.Reader

	entries int64
	skip    []int64
}

// repeats merges the key files of all slices and returns, for each slice (by its index), the sorted ordinals of rows whose key
// was seen before in the order of slices and ordinals. Its memory is a buffer a slice and the ordinals of the repeats.
func repeats(files []keyFile) (map[int][]int64, error) {
	streams := make([]*keyStream, len(files))
	for i, f := range files {
		streams[i] = &keyStream{r: bufio.NewReader(f)}
		if err := streams[i].next(); err != nil {
			return nil, err
		}
	}
	again := map[int][]int64{}
	var last *keyEntry
	for slice := least(streams); slice >= 0; slice = least(streams) {
		entry := streams[slice].entry
		if _, skip := slices.BinarySearch(files[slice].skip, entry.ordinal); !skip {
			if last != nil && entry.sameKey(*last) {
				again[slice] = append(again[slice], entry.ordinal)
			}
			last = &entry
		}
		if err := streams[slice].next(); err != nil {
			return nil, err
		}
	}
	for i, f := range files {
		if streams[i].read != f.entries {
			return nil, fmt.Errorf("read keys: slice %d has %d entries, want %d", i+1, streams[i].read, f.entries)
		}
		slices.Sort(again[i])
	}
	return again, nil
}

// least is the index of the stream with the smallest key, or -1 when all are done. On equal keys the earlier slice comes first.
func least(streams []*keyStream) int {
	found := -1
	for i, s := range streams {
		if s.done {
			continue
		}
		if found < 0 || cmp.Or(cmp.Compare(s.entry.hi, streams[found].entry.hi), cmp.Compare(s.entry.lo, streams[found].entry.lo)) < 0 {
			found = i
		}
	}
	return found
}
