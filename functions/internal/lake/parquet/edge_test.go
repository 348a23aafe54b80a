package parquet_test

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"

	"github.com/almanac-data/almanac/functions/internal/lake/parquet"
)

// texts makes a batch of one column of texts.
func texts(n int, text func(i int) string) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema([]arrow.Field{{Name: "s", Type: arrow.BinaryTypes.String, Nullable: true}}, nil))
	defer b.Release()
	for i := range n {
		if s := text(i); s != "null" {
			b.Field(0).(*array.StringBuilder).Append(s)
		} else {
			b.Field(0).AppendNull()
		}
	}
	return b.NewRecordBatch()
}

func TestTexts(t *testing.T) {
	long := strings.Repeat("0123456789", 7000)
	for name, text := range map[string]func(i int) string{
		"all empty":                  func(int) string { return "" },
		"all null":                   func(int) string { return "null" },
		"null and empty":             func(i int) string { return []string{"null", ""}[i%2] },
		"one word":                   func(int) string { return "word" },
		"one long text":              func(int) string { return long[:5000] },
		"few long texts":             func(i int) string { return long[i%5 : 3000] },
		"all different":              func(i int) string { return fmt.Sprintf("%d-%s", i, long[:i%100]) },
		"more than a dictionary":     func(i int) string { return fmt.Sprint(i/3, long[:40]) },
		"first few, then many":       func(i int) string { return fmt.Sprint(max(0, i-35000), "abcdefgh") },
		"long beyond the dictionary": func(i int) string { return fmt.Sprint(i%7) + long[:60000*(i%500/499)] },
		"empty after a long one":     func(i int) string { return []string{"longer than seven", ""}[i%2] },
		"seven and eight bytes":      func(i int) string { return []string{"1234567", "12345678", "123456\x00", "123456"}[i%4] },
	} {
		t.Run(name, func(t *testing.T) {
			n := 40_000
			batch := texts(n, text)
			data := write(t, batch.Schema(), batch)
			equal(t, batch, read(t, data))
			var parts []arrow.RecordBatch
			for at := 0; at < n; at += 999 {
				parts = append(parts, batch.NewSlice(int64(at), int64(min(at+999, n))))
			}
			if !bytes.Equal(data, write(t, batch.Schema(), parts...)) {
				t.Error("the bytes depend on the cut")
			}
		})
	}
}

// A zero is the first value that is looked up by itself: what stands before it are runs of one value, or another type of text.
func TestZerosAfterOtherValues(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "n", Type: arrow.PrimitiveTypes.Int64, Nullable: true}, {Name: "f", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
		{Name: "day", Type: arrow.FixedWidthTypes.Date32, Nullable: true}, {Name: "s", Type: arrow.BinaryTypes.String, Nullable: true},
	}, nil)
	for name, values := range map[string][]int{ // -1 is null
		"a run, a null, a zero": {7, 7, -1, 0, -1, 7},
		"a run, a null, zeros":  {7, 7, -1, 0, 0, 8},
		"a zero, then others":   {0, -1, 7, 7, -1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
			defer b.Release()
			for _, v := range values {
				if v < 0 {
					for _, f := range b.Fields() {
						f.AppendNull()
					}
					continue
				}
				b.Field(0).(*array.Int64Builder).Append(int64(v))
				b.Field(1).(*array.Float64Builder).Append(float64(v))
				b.Field(2).(*array.Date32Builder).Append(arrow.Date32(v))
				b.Field(3).(*array.StringBuilder).Append(strings.Repeat("x", v))
			}
			batch := b.NewRecordBatch()
			data := write(t, schema, batch)
			equal(t, batch, read(t, data))
			var parts []arrow.RecordBatch
			for i := range batch.NumRows() {
				parts = append(parts, batch.NewSlice(i, i+1))
			}
			if !bytes.Equal(data, write(t, schema, parts...)) {
				t.Error("the bytes depend on the cut")
			}
		})
	}
}

// Rows that end in a page, and groups that end by their number of rows.
func TestRowGroups(t *testing.T) {
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema([]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int64}}, nil))
	const n = 2<<20 + 5
	for i := range n {
		b.Field(0).(*array.Int64Builder).Append(int64(i * i))
	}
	batch := b.NewRecordBatch()
	data := write(t, batch.Schema(), batch)
	equal(t, batch, read(t, data))
	pf, err := file.NewParquetReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if got := pf.NumRowGroups(); got != 3 {
		t.Errorf("%d row groups, want 3", got)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	var before, after runtime.MemStats
	batch := texts(1000, func(i int) string { return strings.Repeat(fmt.Sprint(i*7919), 100) })
	var out counter
	w, err := parquet.NewWriter(&out, batch.Schema(), []int{1})
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 800 { // 400 MB
		if err := w.Write(batch); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 150<<20 {
		t.Errorf("a file in the making holds %d MB", grown>>20)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestWhatCannotBeWritten(t *testing.T) {
	for want, field := range map[string]arrow.Field{
		"type int8 cannot be stored":   {Name: "x", Type: arrow.PrimitiveTypes.Int8},
		"only microseconds":            {Name: "x", Type: arrow.FixedWidthTypes.Timestamp_ns},
		"column x: type list":          {Name: "x", Type: arrow.ListOf(arrow.PrimitiveTypes.Int64)},
		"column x has nulls, and must": {Name: "x", Type: arrow.PrimitiveTypes.Int64},
		"does not fit its precision":   {Name: "x", Type: &arrow.Decimal128Type{Precision: 9}},
	} {
		schema := arrow.NewSchema([]arrow.Field{field}, nil)
		w, err := parquet.NewWriter(&bytes.Buffer{}, schema, []int{1})
		if err == nil {
			b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
			if d, ok := b.Field(0).(*array.Decimal128Builder); ok {
				d.Append(decimal128.FromI64(12345678901))
			} else {
				b.Field(0).AppendNull()
			}
			err = w.Write(b.NewRecordBatch())
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a column of %s gives %v, want an error with %q", field.Type, err, want)
		}
	}
	if _, err := parquet.NewWriter(&bytes.Buffer{}, arrow.NewSchema(nil, nil), nil); err == nil {
		t.Error("a schema without columns gave no error")
	}
}

// FuzzWriter makes numbers and texts of the bytes, cuts them anywhere, and reads them back.
func FuzzWriter(f *testing.F) {
	f.Add([]byte("some bytes that become rows"), uint16(3), uint8(2))
	f.Add(bytes.Repeat([]byte{0, 1, 255}, 50), uint16(700), uint8(1))
	schema := arrow.NewSchema([]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int64, Nullable: true}, {Name: "i", Type: arrow.PrimitiveTypes.Int32},
		{Name: "s", Type: arrow.BinaryTypes.String, Nullable: true}, {Name: "b", Type: arrow.FixedWidthTypes.Boolean, Nullable: true}}, nil)
	f.Fuzz(func(t *testing.T, seed []byte, repeat uint16, cut uint8) {
		if len(seed) == 0 || len(seed) > 500 {
			return
		}
		b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
		for i := range int(repeat%2000) + 1 {
			v := seed[i%len(seed)]
			if v%5 == 0 {
				b.Field(0).AppendNull()
				b.Field(2).AppendNull()
				b.Field(3).AppendNull()
			} else {
				b.Field(0).(*array.Int64Builder).Append(int64(v) * int64(i) << (v % 60))
				b.Field(2).(*array.StringBuilder).Append(string(seed[i%len(seed):][:min(int(v)%12, len(seed)-i%len(seed))]))
				b.Field(3).(*array.BooleanBuilder).Append(v%2 == 0)
			}
			b.Field(1).(*array.Int32Builder).Append(int32(v) - 100)
		}
		batch := b.NewRecordBatch()
		data := write(t, schema, batch)
		equal(t, batch, read(t, data))
		at := min(int64(cut), batch.NumRows())
		if !bytes.Equal(data, write(t, schema, batch.NewSlice(0, at), batch.NewSlice(at, batch.NumRows()))) {
			t.Errorf("a cut at %d makes other bytes", at)
		}
	})
}
