package laketest

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/google/go-cmp/cmp"

	"github.com/almanac-data/almanac/functions/internal/lake"
)

func roundTrip(t *testing.T, open Open) {
	t.Helper()
	l := open(t, t.TempDir())
	batch := Batch(Day(0), 1, 1000)
	files := WriteBatches(t, l, "flights/x", batch)
	if len(files) != 1 || files[0].Rows != 1000 {
		t.Fatalf("files = %v, want one of 1000 rows", files)
	}
	rows, err := l.ReadParquet(t.Context(), files[0].Path, "origin", "delay")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
	}()
	var at int64
	for rows.Next() {
		b := rows.RecordBatch()
		if !array.Equal(b.Column(0), slice(batch.Column(0), at, b.NumRows())) || !array.Equal(b.Column(1), slice(batch.Column(1), at, b.NumRows())) {
			t.Errorf("rows from %d differ", at)
		}
		at += b.NumRows()
	}
	if err := rows.Err(); err != nil || at != 1000 {
		t.Errorf("read %d rows, %v", at, err)
	}
	if _, err := l.ReadParquet(t.Context(), files[0].Path, "nonesuch"); err == nil {
		t.Error("ReadParquet of a missing column gave no error")
	}
	if files := WriteBatches(t, l, "flights/x", Batch(Day(0), 1, 0)); len(files) != 0 {
		t.Errorf("no rows made files %v", files)
	}
}

func slice(a arrow.Array, from, n int64) arrow.Array { return array.NewSlice(a, from, from+n) }

func cuts(t *testing.T, open Open) {
	t.Helper()
	l := open(t, t.TempDir())
	const n = 50_000
	whole := Batch(Day(0), 1, n)
	want := WriteBatches(t, l, "flights/x", whole)
	for _, size := range []int64{1, 777, 8192, 49_999} {
		var parts []arrow.RecordBatch
		limit := int64(n)
		if size == 1 {
			limit = 2000
		}
		for at := int64(0); at < limit; at += size {
			parts = append(parts, whole.NewSlice(at, min(at+size, limit)))
		}
		if limit < n {
			parts = append(parts, whole.NewSlice(limit, n))
		}
		if diff := cmp.Diff(want, WriteBatches(t, l, "flights/x", parts...)); diff != "" {
			t.Errorf("rows cut by %d make other files (-want +got):\n%s", size, diff)
		}
	}
}

func split(t *testing.T, _ Open) {
	t.Helper()
	l, err := lake.Open(t.Context(), t.TempDir(), lake.TargetFileSize(2000))
	if err != nil {
		t.Fatal(err)
	}
	var batches []arrow.RecordBatch
	for i := range 60 {
		batches = append(batches, Batch(Day(0), i*7919, 5000))
	}
	files := WriteBatches(t, l, "flights/x", batches...)
	var rows int64
	for _, f := range files {
		rows += f.Rows
	}
	if len(files) < 2 || rows != 300_000 {
		t.Errorf("%d files with %d rows, want several with 300000", len(files), rows)
	}
}
