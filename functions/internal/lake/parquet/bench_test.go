package parquet_test

import (
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	arrowparquet "github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	other "github.com/parquet-go/parquet-go"

	"github.com/almanac-data/almanac/functions/internal/lake/parquet"
)

// flights makes rows like those of the flights: a time sorted by minutes, two small numbers, two codes.
// PARQUET_FLIGHTS names a file of real ones instead.
func flights(b *testing.B) []arrow.RecordBatch {
	b.Helper()
	if name := os.Getenv("PARQUET_FLIGHTS"); name != "" {
		return realFlights(b, name)
	}
	r := rand.New(rand.NewPCG(1, 2))
	codes := make([]string, 229)
	for i := range codes {
		codes[i] = string([]byte{byte('A' + i%26), byte('A' + i/26), 'X'})
	}
	schema := arrow.NewSchema([]arrow.Field{{Name: "date", Type: utc, Nullable: true}, {Name: "delay", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "distance", Type: arrow.PrimitiveTypes.Int64, Nullable: true}, {Name: "origin", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "destination", Type: arrow.BinaryTypes.String, Nullable: true}}, nil)
	var out []arrow.RecordBatch
	for k := range 64 {
		rb := array.NewRecordBuilder(memory.DefaultAllocator, schema)
		for i := range 16 << 10 {
			rb.Field(0).(*array.TimestampBuilder).Append(arrow.Timestamp(978307200000000 + int64(k*86400+i*86400/(16<<10)/60*60)*1e6))
			rb.Field(1).(*array.Int64Builder).Append(int64(r.NormFloat64() * 30))
			rb.Field(2).(*array.Int64Builder).Append(int64(r.IntN(1400)))
			rb.Field(3).(*array.StringBuilder).Append(codes[int(r.ExpFloat64()*30)%len(codes)])
			rb.Field(4).(*array.StringBuilder).Append(codes[int(r.ExpFloat64()*30)%len(codes)])
		}
		out = append(out, stored(rb.NewRecordBatch()))
	}
	return out
}

func realFlights(b *testing.B, name string) []arrow.RecordBatch {
	pf, err := file.OpenParquetFile(name, false)
	if err != nil {
		b.Fatal(err)
	}
	reader, err := pqarrow.NewFileReader(pf, pqarrow.ArrowReadProperties{BatchSize: 15000}, memory.DefaultAllocator)
	if err != nil {
		b.Fatal(err)
	}
	rr, err := reader.GetRecordReader(b.Context(), nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	var out []arrow.RecordBatch
	for rr.Next() {
		rr.RecordBatch().Retain()
		out = append(out, stored(rr.RecordBatch()))
	}
	return out
}

// stored adds the system columns.
func stored(in arrow.RecordBatch) arrow.RecordBatch {
	n := int(in.NumRows())
	constant := func(v arrow.Timestamp) arrow.Array {
		b := array.NewTimestampBuilder(memory.DefaultAllocator, utc.(*arrow.TimestampType))
		for range n {
			b.Append(v)
		}
		return b.NewArray()
	}
	small := func(v int32) arrow.Array {
		b := array.NewInt32Builder(memory.DefaultAllocator)
		for range n {
			b.Append(v)
		}
		return b.NewArray()
	}
	ordinals := array.NewInt64Builder(memory.DefaultAllocator)
	for i := range n {
		ordinals.Append(int64(i))
	}
	int32s := arrow.PrimitiveTypes.Int32
	fields := in.Schema().Fields()
	for _, f := range []arrow.Field{{Name: "_event_time", Type: utc}, {Name: "_collected_at", Type: utc}, {Name: "_window", Type: utc},
		{Name: "_generation", Type: int32s}, {Name: "_slice", Type: int32s}, {Name: "_ordinal", Type: arrow.PrimitiveTypes.Int64}} {
		f.Metadata = arrow.Metadata{}
		fields = append(fields, f)
	}
	columns := append([]arrow.Array{}, in.Columns()...)
	at := in.Schema().FieldIndices("date")[0]
	times := array.NewTimestampBuilder(memory.DefaultAllocator, utc.(*arrow.TimestampType))
	for i := range n {
		times.Append(in.Column(at).(*array.Timestamp).Value(i))
	}
	columns[at] = times.NewArray()
	for i, a := range columns {
		if a, ok := a.(*array.LargeString); ok {
			texts := array.NewStringBuilder(memory.DefaultAllocator)
			for k := range n {
				texts.Append(a.Value(k))
			}
			columns[i] = texts.NewArray()
			fields[i].Type = arrow.BinaryTypes.String
		}
	}
	fields[at].Type = utc
	for i := range fields {
		fields[i].Metadata = arrow.Metadata{}
	}
	columns = append(columns, columns[at], constant(1), constant(2), small(1), small(3), ordinals.NewArray())
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, int64(n))
}

type counter int64

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

func report(b *testing.B, batches []arrow.RecordBatch, write func(io.Writer)) {
	b.Helper()
	var total int64
	for _, batch := range batches {
		total += batch.NumRows()
	}
	var size counter
	b.ReportAllocs()
	b.ResetTimer()
	start := time.Now()
	for range b.N {
		size = 0
		write(&size)
	}
	b.ReportMetric(float64(total)*float64(b.N)/time.Since(start).Seconds()/1e6, "Mrows/s")
	b.ReportMetric(float64(size)/float64(total), "B/row")
}

func BenchmarkWriter(b *testing.B) {
	batches := flights(b)
	schema := batches[0].Schema()
	b.Run("whole", func(b *testing.B) {
		report(b, batches, func(out io.Writer) {
			w, err := parquet.NewWriter(out, schema, ids(schema))
			if err != nil {
				b.Fatal(err)
			}
			for _, batch := range batches {
				if err := w.Write(batch); err != nil {
					b.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				b.Fatal(err)
			}
		})
	})
	b.Run("a file each batch", func(b *testing.B) {
		report(b, batches, func(out io.Writer) {
			for _, batch := range batches {
				w, err := parquet.NewWriter(out, schema, ids(schema))
				if err != nil {
					b.Fatal(err)
				}
				if err := w.Write(batch); err != nil {
					b.Fatal(err)
				}
				if err := w.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}

func BenchmarkArrowGo(b *testing.B) {
	batches := flights(b)
	report(b, batches, func(out io.Writer) {
		w, err := pqarrow.NewFileWriter(batches[0].Schema(), out, arrowparquet.NewWriterProperties(arrowparquet.WithCompression(compress.Codecs.Zstd)), pqarrow.DefaultWriterProps())
		if err != nil {
			b.Fatal(err)
		}
		for _, batch := range batches {
			if err := w.WriteBuffered(batch); err != nil {
				b.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkParquetGo writes by the column writers of parquet-go, numbers and texts only.
func BenchmarkParquetGo(b *testing.B) {
	batches := flights(b)
	group := other.Group{}
	for _, f := range batches[0].Schema().Fields() {
		switch f.Type.ID() {
		case arrow.STRING:
			group[f.Name] = other.Encoded(other.String(), &other.RLEDictionary)
		case arrow.INT32:
			group[f.Name] = other.Encoded(other.Int(32), &other.RLEDictionary)
		default:
			if f.Name == "_ordinal" {
				group[f.Name] = other.Encoded(other.Int(64), &other.DeltaBinaryPacked)
			} else {
				group[f.Name] = other.Encoded(other.Int(64), &other.RLEDictionary)
			}
		}
	}
	schema := other.NewSchema("rows", group)
	report(b, batches, func(out io.Writer) {
		w := other.NewGenericWriter[any](out, schema, other.Compression(&other.Zstd))
		columns := w.ColumnWriters()
		var values []other.Value
		for _, batch := range batches {
			for k, f := range schema.Fields() {
				a := batch.Column(batch.Schema().FieldIndices(f.Name())[0])
				values = values[:0]
				for i := range a.Len() {
					switch a := a.(type) {
					case *array.Int64:
						values = append(values, other.Int64Value(a.Value(i)))
					case *array.Timestamp:
						values = append(values, other.Int64Value(int64(a.Value(i))))
					case *array.Int32:
						values = append(values, other.Int32Value(a.Value(i)))
					case *array.String:
						values = append(values, other.ByteArrayValue([]byte(a.Value(i))))
					}
				}
				if _, err := columns[k].WriteRowValues(values); err != nil {
					b.Fatal(err)
				}
			}
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	})
}
