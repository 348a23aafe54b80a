package pack_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/almanac-data/almanac/functions/internal/block/pack"
)

var schema = arrow.NewSchema([]arrow.Field{
	{Name: "i", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	{Name: "t", Type: arrow.FixedWidthTypes.Timestamp_us, Nullable: true},
	{Name: "s", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "f", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
}, nil)

// column values: an int64, a string, or nil for null.
func batch(t testing.TB, n int, value func(i int) (number, when, text any)) arrow.RecordBatch {
	t.Helper()
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for i := range n {
		number, when, text := value(i)
		if v, ok := number.(int64); ok {
			b.Field(0).(*array.Int64Builder).Append(v)
		} else {
			b.Field(0).AppendNull()
		}
		if v, ok := when.(int64); ok {
			b.Field(1).(*array.TimestampBuilder).Append(arrow.Timestamp(v))
		} else {
			b.Field(1).AppendNull()
		}
		if v, ok := text.(string); ok {
			b.Field(2).(*array.StringBuilder).Append(v)
		} else {
			b.Field(2).AppendNull()
		}
		b.Field(3).(*array.Float64Builder).Append(float64(i) / 3)
	}
	return b.NewRecordBatch()
}

func TestUnpackGivesWhatWasPacked(t *testing.T) {
	tests := map[string]struct {
		rows   int
		value  func(i int) (number, when, text any)
		packed string // types of the first three columns
	}{
		"no rows":                  {0, nil, "uint8 uint8 utf8"},
		"one row":                  {1, func(int) (any, any, any) { return int64(7), int64(-7), "" }, "null null utf8"},
		"two rows, one word":       {2, func(int) (any, any, any) { return int64(7), int64(-7), "a" }, "null null dictionary<values=utf8, indices=uint8, ordered=false>"},
		"sequences up and down":    {9, func(i int) (any, any, any) { return int64(i), int64(-3 * i), nil }, "null null dictionary<values=utf8, indices=uint8, ordered=false>"},
		"only nulls":               {3, func(int) (any, any, any) { return nil, nil, nil }, "uint8 uint8 dictionary<values=utf8, indices=uint8, ordered=false>"},
		"some nulls":               {9, func(i int) (any, any, any) { return odd(i, int64(i*i)), odd(i, int64(-i*i)), odd(i, "x") }, "uint8 uint8 dictionary<values=utf8, indices=uint8, ordered=false>"},
		"whole minutes":            {999, func(i int) (any, any, any) { return int64(i * i % 300), int64(i*i%1440) * 60e6, fmt.Sprint(i % 300) }, "uint16 uint16 dictionary<values=utf8, indices=uint16, ordered=false>"},
		"whole seconds, long text": {999, func(i int) (any, any, any) { return int64(i * i), int64(i*i) * 1e6, strings.Repeat("x", i%99) }, "uint32 uint32 dictionary<values=utf8, indices=uint8, ordered=false>"},
		"microseconds":             {999, func(i int) (any, any, any) { return int64(i*i) << 40, int64(i*i) * 1e9, fmt.Sprint(i) }, "int64 uint32 utf8"},
		"extremes": {4, func(i int) (any, any, any) {
			return []int64{math.MinInt64, math.MaxInt64, 0, -1}[i], []int64{math.MaxInt64, 0, math.MinInt64, 1}[i], fmt.Sprint(i)
		}, "int64 timestamp[us, tz=UTC] utf8"},
		"extremes that are a sequence modulo 2^64": {3, func(i int) (any, any, any) { return []int64{math.MinInt64, -1, math.MaxInt64 - 1}[i], int64(i), "a" }, ""},
		"many words": {9999, func(i int) (any, any, any) { return int64(i), nil, fmt.Sprint(i % 5000) }, "null uint8 utf8"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			whole := batch(t, tt.rows, tt.value)
			for _, b := range []arrow.RecordBatch{whole, whole.NewSlice(int64(tt.rows/3), int64(tt.rows-tt.rows/5))} {
				packed := pack.Pack(b)
				back, err := pack.Unpack(packed, schema)
				if err != nil || !back.Schema().Equal(schema) || !array.RecordEqual(b, back) {
					t.Fatalf("Unpack = %v, %v, want %v", back, err, b)
				}
				var types []string
				for _, f := range packed.Schema().Fields()[:3] {
					types = append(types, f.Type.String())
				}
				if got := strings.Join(types, " "); b == whole && tt.packed != "" && got != tt.packed {
					t.Errorf("packed as %s, want %s", got, tt.packed)
				}
			}
		})
	}
}

func odd(i int, v any) any {
	if i%2 == 0 {
		return nil
	}
	return v
}

func TestUnpackOfRandomBatches(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	for range 300 {
		bits, base, words := r.IntN(64), int64(r.Uint64()), 1+r.IntN(50)
		b := batch(t, r.IntN(500), func(int) (any, any, any) {
			v := base + int64(r.Uint64()>>bits)
			text := strings.Repeat(string(rune('a'+r.IntN(26))), r.IntN(words))
			return odd(r.IntN(9), v), odd(r.IntN(9), v*1000), odd(r.IntN(5), text)
		})
		if back, err := pack.Unpack(pack.Pack(b), schema); err != nil || !array.RecordEqual(b, back) {
			t.Fatalf("seed %d: Unpack = %v, %v, want %v", seed, back, err, b)
		}
	}
}

func TestNullsBesideALongTextTakeNoBytes(t *testing.T) {
	const long = 50_000 // of which one for each row would be more than an array holds
	text := strings.Repeat("x", long)
	b := batch(t, 50_000, func(i int) (any, any, any) {
		if i == 0 {
			return nil, nil, text
		}
		return nil, nil, nil
	})
	back, err := pack.Unpack(pack.Pack(b), schema)
	if err != nil || !array.RecordEqual(b, back) {
		t.Fatalf("Unpack = %v, want the rows that were packed", err)
	}
	if n := len(back.Column(2).(*array.String).ValueBytes()); n != long {
		t.Errorf("the texts take %d bytes, want %d", n, long)
	}
}

func TestUnpackRefuses(t *testing.T) {
	words := func(index arrow.Array, text ...string) arrow.Array {
		b := array.NewStringBuilder(memory.DefaultAllocator)
		b.AppendValues(text, nil)
		return array.NewDictionaryArray(&arrow.DictionaryType{IndexType: index.DataType(), ValueType: arrow.BinaryTypes.String}, index, b.NewArray())
	}
	small := func(values ...uint8) arrow.Array {
		b := array.NewUint8Builder(memory.DefaultAllocator)
		b.AppendValues(values, nil)
		return b.NewArray()
	}
	wide := func(values ...int32) arrow.Array {
		b := array.NewInt32Builder(memory.DefaultAllocator)
		b.AppendValues(values, nil)
		return b.NewArray()
	}
	tests := map[string]struct {
		column arrow.Array
		meta   map[string]string
		want   arrow.DataType
		says   string
	}{
		"an integer without a base":           {small(1), nil, arrow.PrimitiveTypes.Int64, "almanac.base"},
		"a base that is none":                 {small(1), map[string]string{"almanac.base": "x", "almanac.unit": "1"}, arrow.PrimitiveTypes.Int64, `"x", not an integer`},
		"no unit":                             {small(1), map[string]string{"almanac.base": "1"}, arrow.PrimitiveTypes.Int64, "almanac.unit"},
		"another type":                        {wide(1), map[string]string{"almanac.base": "1", "almanac.unit": "1"}, arrow.PrimitiveTypes.Int64, "is int32, want int64"},
		"an index outside of its dictionary":  {words(small(0, 2), "a", "b"), nil, arrow.BinaryTypes.String, "index 2 lies outside"},
		"an index into an empty dictionary":   {words(small(0)), nil, arrow.BinaryTypes.String, "index 0 lies outside"},
		"few bytes that stand for very many":  {words(small(make([]uint8, 2048)...), strings.Repeat("x", 64<<10)), nil, arrow.BinaryTypes.String, "more than a block has"},
		"an index of another type":            {words(wide(-1), "a"), nil, arrow.BinaryTypes.String, "indexed by int32"},
		"a string where a number is wanted":   {words(small(0), "a"), nil, arrow.PrimitiveTypes.Float64, "want float64"},
		"an integer where a string is wanted": {small(1), nil, arrow.BinaryTypes.String, "want utf8"},
	}
	for name, tt := range tests {
		f := arrow.Field{Name: "c", Type: tt.column.DataType(), Nullable: true, Metadata: arrow.MetadataFrom(tt.meta)}
		b := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{f}, nil), []arrow.Array{tt.column}, int64(tt.column.Len()))
		got, err := pack.Unpack(b, arrow.NewSchema([]arrow.Field{{Name: "c", Type: tt.want, Nullable: true}}, nil))
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: Unpack = %v, %v, want an error with %q", name, got, err, tt.says)
		}
	}
	if _, err := pack.Unpack(batch(t, 0, nil), arrow.NewSchema(schema.Fields()[:2], nil)); err == nil || !strings.Contains(err.Error(), "schema is") {
		t.Errorf("Unpack of a column too many = %v", err)
	}
}
