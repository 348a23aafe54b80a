package parquet_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	other "github.com/parquet-go/parquet-go"

	"github.com/almanac-data/almanac/functions/internal/lake/parquet"
)

var utc = arrow.FixedWidthTypes.Timestamp_us

// everything has a column of each type in each form that the writer knows.
var everything = arrow.NewSchema([]arrow.Field{
	{Name: "few", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	{Name: "many", Type: arrow.PrimitiveTypes.Int64},
	{Name: "counter", Type: arrow.PrimitiveTypes.Int64},
	{Name: "constant", Type: utc},
	{Name: "time", Type: utc, Nullable: true},
	{Name: "local", Type: &arrow.TimestampType{Unit: arrow.Microsecond}, Nullable: true},
	{Name: "small", Type: arrow.PrimitiveTypes.Int32, Nullable: true},
	{Name: "smalls", Type: arrow.PrimitiveTypes.Int32},
	{Name: "number", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
	{Name: "rating", Type: arrow.PrimitiveTypes.Float64},
	{Name: "flag", Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
	{Name: "day", Type: arrow.FixedWidthTypes.Date32, Nullable: true},
	{Name: "code", Type: arrow.BinaryTypes.String},
	{Name: "text", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "unique", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "bytes", Type: arrow.BinaryTypes.Binary, Nullable: true},
	{Name: "nothing", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "d9", Type: &arrow.Decimal128Type{Precision: 9, Scale: 2}, Nullable: true},
	{Name: "d18", Type: &arrow.Decimal128Type{Precision: 18, Scale: 4}, Nullable: true},
	{Name: "d38", Type: &arrow.Decimal128Type{Precision: 38, Scale: 10}, Nullable: true},
}, nil)

// rows makes n rows of everything.
func rows(seed uint64, n int) arrow.RecordBatch {
	r := rand.New(rand.NewPCG(seed, 1))
	b := array.NewRecordBuilder(memory.DefaultAllocator, everything)
	defer b.Release()
	for i := range n {
		for c, f := range everything.Fields() {
			if f.Nullable && (f.Name == "nothing" || r.IntN(10) == 0 && i%5000 > 500) {
				b.Field(c).AppendNull()
				continue
			}
			value(b.Field(c), f, i, r)
		}
	}
	return b.NewRecordBatch()
}

func value(b array.Builder, f arrow.Field, i int, r *rand.Rand) {
	word := r.Uint64()
	switch b := b.(type) {
	case *array.Int64Builder:
		b.Append(map[string]int64{"few": int64(word % 1500), "many": int64(word), "counter": int64(i)}[f.Name])
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(map[string]int64{"constant": 978307200000000, "time": 978307200000000 + int64(i)*977 - int64(word%500), "local": -int64(word % 1000 * 60e6)}[f.Name]))
	case *array.Int32Builder:
		b.Append(map[string]int32{"small": int32(word % 7), "smalls": int32(word)}[f.Name])
	case *array.Float64Builder:
		special := []float64{math.NaN(), math.Inf(1), math.Copysign(0, -1), 0}
		if f.Name == "number" && i%1000 < len(special) {
			b.Append(special[i%1000])
		} else {
			b.Append(map[string]float64{"number": r.NormFloat64(), "rating": float64(word%11) / 2}[f.Name])
		}
	case *array.BooleanBuilder:
		b.Append(word%3 == 0 || i%4000 < 2000)
	case *array.Date32Builder:
		b.Append(arrow.Date32(word % 20000))
	case *array.StringBuilder:
		switch f.Name {
		case "code":
			b.Append([]string{"ATL", "", "ORD", "é", "LAX\x00", "1234567"}[word%6])
		case "text":
			b.Append(strings.Repeat("long ", int(word%20)) + "x")
		default:
			b.Append(fmt.Sprintf("%s %x", strings.Repeat("u", i%300), word))
		}
	case *array.BinaryBuilder:
		b.Append(bytes.Repeat([]byte{byte(word)}, int(word>>8%40)))
	case *array.Decimal128Builder:
		v := map[string]decimal128.Num{"d9": decimal128.FromI64(int64(word%1e9) - 5e8), "d18": decimal128.FromI64(int64(word % 1e18)),
			"d38": decimal128.New(int64(word%1e9)-5e8, word)}[f.Name]
		b.Append(v)
	}
}

func ids(s *arrow.Schema) []int {
	out := make([]int, s.NumFields())
	for i := range out {
		out[i] = 100 + i
	}
	return out
}

func write(t testing.TB, schema *arrow.Schema, batches ...arrow.RecordBatch) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := parquet.NewWriter(&buf, schema, ids(schema))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range batches {
		if err := w.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// read reads a file by arrow-go.
func read(t testing.TB, data []byte) arrow.Table {
	t.Helper()
	pf, err := file.NewParquetReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	r, err := pqarrow.NewFileReader(pf, pqarrow.ArrowReadProperties{BatchSize: 1 << 20}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	table, err := r.ReadTable(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func equal(t testing.TB, want arrow.RecordBatch, got arrow.Table) {
	t.Helper()
	if got.NumRows() != want.NumRows() {
		t.Fatalf("read %d rows, want %d", got.NumRows(), want.NumRows())
	}
	for i, f := range want.Schema().Fields() {
		if !arrow.TypeEqual(got.Schema().Field(i).Type, f.Type) {
			t.Errorf("column %s is read as %s, want %s", f.Name, got.Schema().Field(i).Type, f.Type)
		}
		merged, err := array.Concatenate(got.Column(i).Data().Chunks(), memory.DefaultAllocator)
		if err != nil {
			t.Fatal(err)
		}
		if !array.ApproxEqual(want.Column(i), merged, array.WithNaNsEqual(true), array.WithAbsTolerance(0)) {
			for k := range want.Column(i).Len() {
				if want.Column(i).ValueStr(k) != merged.ValueStr(k) {
					t.Errorf("column %s, row %d: read %s, want %s", f.Name, k, merged.ValueStr(k), want.Column(i).ValueStr(k))
					break
				}
			}
		}
	}
}

func TestArrowReadsWhatWasWritten(t *testing.T) {
	for _, n := range []int{0, 1, 2, 7, 8, 9, 100, 1000, 32768, 32769, 70000} {
		batch := rows(uint64(n), n)
		data := write(t, everything, batch)
		if n == 0 {
			continue
		}
		equal(t, batch, read(t, data))
		if dir := os.Getenv("PARQUET_KEEP"); dir != "" {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("all-%d.parquet", n)), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestParquetGoReadsWhatWasWritten(t *testing.T) {
	batch := rows(3, 40000)
	data := write(t, everything, batch)
	f, err := other.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	r := other.NewReader(f)
	defer r.Close()
	buf := make([]other.Row, 1000)
	at := 0
	for at < 40000 {
		n, err := r.ReadRows(buf)
		if n == 0 {
			t.Fatalf("after %d rows: %v", at, err)
		}
		for _, row := range buf[:n] {
			for _, v := range row {
				c := batch.Column(v.Column())
				if v.IsNull() != c.IsNull(at) {
					t.Fatalf("row %d column %d: null is %v", at, v.Column(), v.IsNull())
				}
				if s, ok := c.(*array.String); ok && !v.IsNull() && s.Value(at) != string(v.ByteArray()) {
					t.Fatalf("row %d column %d: %q, want %q", at, v.Column(), v.ByteArray(), s.Value(at))
				}
				if s, ok := c.(*array.Int64); ok && !v.IsNull() && s.Value(at) != v.Int64() {
					t.Fatalf("row %d column %d: %d, want %d", at, v.Column(), v.Int64(), s.Value(at))
				}
			}
			at++
		}
	}
}

func TestBytesDoNotDependOnTheCut(t *testing.T) {
	const n = 70000
	batch := rows(5, n)
	want := write(t, everything, batch)
	for _, size := range []int64{100, 4097, 32768, 50000} {
		var parts []arrow.RecordBatch
		for at := int64(0); at < n; at += size {
			parts = append(parts, batch.NewSlice(at, min(at+size, n)))
		}
		if got := write(t, everything, parts...); !bytes.Equal(got, want) {
			t.Errorf("rows cut by %d make other bytes", size)
		}
	}
}
