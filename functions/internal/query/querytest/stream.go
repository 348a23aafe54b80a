package querytest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/almanac-data/almanac/functions/internal/query"
)

// Numbers makes a view "numbers" of n rows: i, and a text of some length.
func Numbers(tb testing.TB, dir string, n int) query.View {
	tb.Helper()
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "i", Type: arrow.PrimitiveTypes.Int64, Nullable: true}, {Name: "s", Type: arrow.BinaryTypes.String, Nullable: true},
	}, nil)
	path := filepath.Join(dir, "numbers.parquet")
	f, err := os.Create(filepath.Clean(path))
	if err != nil {
		tb.Fatal(err)
	}
	w, err := pqarrow.NewFileWriter(schema, f, parquet.NewWriterProperties(), pqarrow.DefaultWriterProps())
	if err != nil {
		tb.Fatal(err)
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	const batch = 1 << 16
	for from := 0; from < n; from += batch {
		for i := from; i < min(n, from+batch); i++ {
			b.Field(0).(*array.Int64Builder).Append(int64(i) * 7919 % int64(n))
			b.Field(1).(*array.StringBuilder).Append("a text of more than twelve bytes"[:12+i%20])
		}
		r := b.NewRecordBatch()
		err = errors.Join(err, w.WriteBuffered(r))
		r.Release()
	}
	if err = errors.Join(err, w.Close()); err != nil {
		tb.Fatal(err)
	}
	return query.View{Name: "numbers", Schema: schema, Files: []string{path}}
}

func (s suite) many(t *testing.T) {
	const n = 300_007 // a prime, so that each number is there once
	q := query.Query{Text: "SELECT i, s FROM numbers", Views: []query.View{Numbers(t, s.dir, n)}}
	r, err := s.engine.Run(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	batches, want := 0, int64(0)
	for r.Next() {
		batches++
		for _, got := range r.RecordBatch().Column(0).(*array.Int64).Int64Values() {
			if got != want {
				t.Fatalf("row %d has %d: the result is not one sequence", want, got)
			}
			want++
		}
	}
	if r.Err() != nil || want != n || batches < 4 {
		t.Errorf("read %d rows in %d batches, %v, want %d in some", want, batches, r.Err(), n)
	}
}

func (s suite) ended(t *testing.T) {
	view := Numbers(t, s.dir, 300_007)
	endless := query.Query{
		Text: "SELECT CAST(count(*) AS BIGINT) AS n FROM numbers a JOIN numbers b ON a.i % 7 <> b.i % 5", Views: []query.View{view},
	}
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(3*time.Second, cancel)
	begin := time.Now()
	r, err := s.engine.Run(ctx, endless)
	if err == nil {
		for r.Next() { // whether an engine computes in Run or in Next is its affair
		}
		err = r.Err()
		r.Release()
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a query without an end = %v, want context.Canceled", err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %s to end", took)
	}
	ctx, cancel = context.WithCancel(context.Background())
	r, err = s.engine.Run(ctx, query.Query{Text: "SELECT i, s FROM numbers", Views: []query.View{view}})
	if err != nil || !r.Next() {
		t.Fatal("no first batch", err)
	}
	cancel()
	for r.Next() {
	}
	if err := r.Err(); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("reading ended with %v, want context.Canceled or what was there already", err)
	}
	r.Release()
	if _, err := s.engine.Run(ctx, endless); !errors.Is(err, context.Canceled) {
		t.Errorf("Run after the end = %v, want context.Canceled", err)
	}
	s.same(t, query.Query{Text: "SELECT 1 AS a"}, `{"a":1}`)
}
