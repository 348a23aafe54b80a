package columns

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/iceberg-go"
)

// metrics are what a manifest says of a file's columns, by field id. Bounds are in Parquet's PLAIN form.
type metrics struct {
	sizes, values, nulls map[int]int64
	lower, upper         map[int][]byte
	unbounded            map[int]bool
	offsets              []int64
}

func newMetrics() *metrics {
	return &metrics{
		sizes: map[int]int64{}, values: map[int]int64{}, nulls: map[int]int64{},
		lower: map[int][]byte{}, upper: map[int][]byte{}, unbounded: map[int]bool{},
	}
}

// add takes in one row group.
func (m *metrics) add(schema *iceberg.Schema, group *metadata.RowGroupMetaData) error {
	for i := range group.NumColumns() {
		column, err := group.ColumnChunk(i)
		if err != nil {
			return err
		}
		if i == 0 {
			m.offsets = append(m.offsets, start(column))
		}
		id := int(group.Schema.Column(i).SchemaNode().FieldID())
		field, known := schema.FindFieldByID(id)
		if !known {
			return fmt.Errorf("column %s has field id %d, which the table does not know", column.PathInSchema(), id)
		}
		m.sizes[id] += column.TotalCompressedSize()
		m.values[id] += column.NumValues()
		stats, err := column.Statistics()
		if err != nil || stats == nil || !stats.HasNullCount() {
			m.unbounded[id] = true
			continue
		}
		m.nulls[id] += stats.NullCount()
		if !stats.HasMinMax() {
			m.unbounded[id] = m.unbounded[id] || stats.NullCount() < column.NumValues()
			continue
		}
		lower, upper := stats.EncodeMin(), stats.EncodeMax()
		if _, decimal := field.Type.(iceberg.DecimalType); decimal && stats.Type() != parquet.Types.FixedLenByteArray {
			slices.Reverse(lower) // numbers have their least significant byte first
			slices.Reverse(upper)
		}
		m.bound(id, field.Type, lower, upper)
	}
	return nil
}

// start is where the first page of a column lies.
func start(c *metadata.ColumnChunkMetaData) int64 {
	if c.HasDictionaryPage() && c.DictionaryPageOffset() > 0 {
		return min(c.DictionaryPageOffset(), c.DataPageOffset())
	}
	return c.DataPageOffset()
}

func (m *metrics) bound(id int, t iceberg.Type, lower, upper []byte) {
	if old, ok := m.lower[id]; !ok || compare(t, lower, old) < 0 {
		m.lower[id] = lower
	}
	if old, ok := m.upper[id]; !ok || compare(t, upper, old) > 0 {
		m.upper[id] = upper
	}
}

// compare orders two values in PLAIN form.
func compare(t iceberg.Type, a, b []byte) int {
	switch t.(type) {
	case iceberg.Int32Type, iceberg.DateType:
		return cmp.Compare(int32(binary.LittleEndian.Uint32(a)), int32(binary.LittleEndian.Uint32(b)))
	case iceberg.Int64Type, iceberg.TimestampType, iceberg.TimestampTzType:
		return cmp.Compare(int64(binary.LittleEndian.Uint64(a)), int64(binary.LittleEndian.Uint64(b)))
	case iceberg.Float64Type:
		return cmp.Compare(math.Float64frombits(binary.LittleEndian.Uint64(a)), math.Float64frombits(binary.LittleEndian.Uint64(b)))
	case iceberg.DecimalType: // two's complement, most significant byte first, of one width
		if n := len(a); n > 0 && n == len(b) && a[0] != b[0] {
			return cmp.Compare(int8(a[0]), int8(b[0]))
		}
	}
	return bytes.Compare(a, b)
}

// build puts the metrics into a data file, with bounds in the form of the Iceberg specification, appendix D.
func (m *metrics) build(b *iceberg.DataFileBuilder, schema *iceberg.Schema) iceberg.DataFile {
	lower, upper := map[int][]byte{}, map[int][]byte{}
	for id := range m.lower {
		field, _ := schema.FindFieldByID(id)
		if m.unbounded[id] {
			continue
		}
		lower[id] = single(field.Type, m.lower[id])
		if _, text := field.Type.(iceberg.StringType); text {
			lower[id] = truncate(lower[id])
		}
		if _, raw := field.Type.(iceberg.BinaryType); raw {
			lower[id] = lower[id][:min(len(lower[id]), boundLength)]
		}
		if v := greater(field.Type, single(field.Type, m.upper[id])); v != nil {
			upper[id] = v
		}
	}
	return b.ColumnSizes(m.sizes).ValueCounts(m.values).NullValueCounts(m.nulls).
		LowerBoundValues(lower).UpperBoundValues(upper).SplitOffsets(m.offsets).Build()
}

// boundLength is the number of characters, or bytes, that a bound keeps.
const boundLength = 16

// single is a value in the single-value form of Iceberg.
func single(t iceberg.Type, v []byte) []byte {
	if _, ok := t.(iceberg.DecimalType); !ok {
		return v
	}
	for len(v) > 1 && (v[0] == 0 && v[1] < 0x80 || v[0] == 0xff && v[1] >= 0x80) {
		v = v[1:] // the sign says as much
	}
	return v
}

// truncate keeps the first characters.
func truncate(v []byte) []byte {
	end := 0
	for range boundLength {
		if end >= len(v) {
			return v
		}
		_, size := utf8.DecodeRune(v[end:])
		end += size
	}
	return v[:end]
}

// greater is a short value that is not less than v, or nil if there is none.
func greater(t iceberg.Type, v []byte) []byte {
	switch t.(type) {
	case iceberg.StringType:
		short := truncate(v)
		if len(short) == len(v) {
			return v
		}
		runes := []rune(string(short))
		for i, r := range slices.Backward(runes) {
			next := r + 1
			if next == 0xd800 {
				next = 0xe000 // surrogates are no characters
			}
			if next <= utf8.MaxRune {
				return []byte(string(append(runes[:i:i], next)))
			}
		}
		return nil
	case iceberg.BinaryType:
		if len(v) <= boundLength {
			return v
		}
		short := bytes.Clone(v[:boundLength])
		for i := len(short) - 1; i >= 0; i-- {
			if short[i] < 0xff {
				short[i]++
				return short[:i+1]
			}
		}
		return nil
	}
	return v
}
