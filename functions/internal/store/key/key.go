// Package key tells rows apart: by a hash of what they hold, and by the keys that must be unique in a window.
package key

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

	"github.com/almanac-data/almanac/functions/internal/dataset"
)

// Of lists the column sets that must be unique in a window: the primary key, if there is one, before the unique rules.
func Of(d *dataset.Dataset) [][]string {
	var keys [][]string
	if len(d.Key) > 0 {
		keys = append(keys, d.Key)
	}
	for _, r := range uniqueRules(d) {
		keys = append(keys, r.Columns)
	}
	return keys
}

// uniqueRules lists the rules that stop a window or warn. One over the primary key is not among them: rows that repeat the key are
// dropped and counted as duplicates, so that it always holds.
func uniqueRules(d *dataset.Dataset) []dataset.Rule {
	var rules []dataset.Rule
	for _, r := range d.Rules {
		if r.Kind == "unique" && !slices.Equal(r.Columns, d.Key) {
			rules = append(rules, r)
		}
	}
	return rules
}

// A key file holds one entry of 24 bytes per row of a slice whose key has no null, sorted: 128 bits of hash over the key's columns, and the ordinal.
// Two hashes of 64 bits with different seeds stand in for the key: the chance that two of a billion keys meet is below 10^-20.
const entrySize = 24

type entry struct {
	hi, lo  uint64
	ordinal int64
}

func (a entry) compare(b entry) int {
	return cmp.Or(cmp.Compare(a.hi, b.hi), cmp.Compare(a.lo, b.lo), cmp.Compare(a.ordinal, b.ordinal))
}

func (a entry) sameKey(b entry) bool { return a.hi == b.hi && a.lo == b.lo }

// Set gathers the entries of one slice; its memory is 24 bytes a row.
type Set struct {
	columns []int
	entries []entry
}

// NewSet is for keys of the named columns of batches of a schema.
func NewSet(names []string, schema *arrow.Schema) *Set {
	k := &Set{}
	for _, name := range names {
		k.columns = append(k.columns, schema.FieldIndices(name)[0])
	}
	return k
}

// Add adds the rows of a batch, whose last column has their ordinals.
func (k *Set) Add(batch arrow.RecordBatch) {
	n := int(batch.NumRows())
	hi, lo := make([]uint64, n), make([]uint64, n)
	for i := range lo {
		lo[i] = prime
	}
	for _, c := range k.columns {
		Hash(hi, batch.Column(c))
		Hash(lo, batch.Column(c))
	}
	ordinals := batch.Column(int(batch.NumCols()) - 1).(*array.Int64).Int64Values()
	for i, ordinal := range ordinals {
		if !k.anyNull(batch, i) {
			k.entries = append(k.entries, entry{hi[i], lo[i], ordinal})
		}
	}
}

// anyNull says whether a row has no value in a column of the key. Null equals nothing, as in SQL: such a row repeats no other.
func (k *Set) anyNull(batch arrow.RecordBatch, row int) bool {
	for _, c := range k.columns {
		if batch.Column(c).IsNull(row) {
			return true
		}
	}
	return false
}

// Len is how many entries there are.
func (k *Set) Len() int { return len(k.entries) }

// Bytes is what the key file of the slice holds.
func (k *Set) Bytes() []byte {
	slices.SortFunc(k.entries, entry.compare)
	out := make([]byte, 0, len(k.entries)*entrySize)
	for _, e := range k.entries {
		out = binary.LittleEndian.AppendUint64(out, e.hi)
		out = binary.LittleEndian.AppendUint64(out, e.lo)
		out = binary.LittleEndian.AppendUint64(out, uint64(e.ordinal))
	}
	return out
}

func decode(b []byte) entry {
	return entry{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:]), int64(binary.LittleEndian.Uint64(b[16:]))}
}

// stream reads the entries of one slice in order.
type stream struct {
	r     *bufio.Reader
	entry entry
	read  int64
	done  bool
}

func (k *stream) next() error {
	var b [entrySize]byte
	_, err := io.ReadFull(k.r, b[:])
	switch {
	case errors.Is(err, io.EOF):
		k.done = true
		return nil
	case err != nil:
		return fmt.Errorf("read keys: %w", err)
	}
	k.entry = decode(b[:])
	k.read++
	return nil
}

// File is an open key file.
type File struct {
	io.Reader

	Entries int64   // that it must have
	Skip    []int64 // sorted ordinals of those to pass over
}

// Repeats merges the key files of all slices and returns, for each slice (by its index), the sorted ordinals of rows whose key
// was seen before in the order of slices and ordinals. Its memory is a buffer a slice and the ordinals of the repeats.
func Repeats(files []File) (map[int][]int64, error) {
	streams := make([]*stream, len(files))
	for i, f := range files {
		streams[i] = &stream{r: bufio.NewReader(f)}
		if err := streams[i].next(); err != nil {
			return nil, err
		}
	}
	again := map[int][]int64{}
	var last *entry
	for slice := least(streams); slice >= 0; slice = least(streams) {
		entry := streams[slice].entry
		if _, skip := slices.BinarySearch(files[slice].Skip, entry.ordinal); !skip {
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
		if streams[i].read != f.Entries {
			return nil, fmt.Errorf("read keys: slice %d has %d entries, want %d", i+1, streams[i].read, f.Entries)
		}
		slices.Sort(again[i])
	}
	return again, nil
}

// least is the index of the stream with the smallest key, or -1 when all are done. On equal keys the earlier slice comes first.
func least(streams []*stream) int {
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
