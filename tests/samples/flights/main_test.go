package main

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

func flights(t *testing.T, rows string) string {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "date", Type: &arrow.TimestampType{Unit: arrow.Microsecond}}, {Name: "delay", Type: arrow.PrimitiveTypes.Int64},
		{Name: "distance", Type: arrow.PrimitiveTypes.Int64}, {Name: "origin", Type: arrow.BinaryTypes.LargeString},
		{Name: "destination", Type: arrow.BinaryTypes.LargeString},
	}, nil)
	batch, _, err := array.RecordFromJSON(memory.DefaultAllocator, schema, strings.NewReader(rows))
	if err != nil {
		t.Fatal(err)
	}
	defer batch.Release()
	path := filepath.Join(t.TempDir(), "in.parquet")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := pqarrow.NewFileWriter(schema, f, parquet.NewWriterProperties(), pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema()))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(batch); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

const three = `[
	{"date": "2001-01-01 00:08:00", "delay": 246, "distance": 1258, "origin": "MIA", "destination": "BOS"},
	{"date": "2001-01-01 10:00:00", "delay": -1116, "distance": 300, "origin": "ORD", "destination": "STL"},
	{"date": "2001-01-02 00:00:00", "delay": 0, "distance": 1035, "origin": "LGA", "destination": "PBI"}
]`

func TestTheSampleIsOfSomeOriginsAndTheSameBytes(t *testing.T) {
	in, one, two := flights(t, three), t.TempDir(), t.TempDir()
	for _, out := range []string{one, two} {
		if err := run("sample", in, out, origins); err != nil {
			t.Fatal(err)
		}
	}
	a, err1 := os.ReadFile(filepath.Join(one, "2001-01", "2001-01-01.csv.gz"))
	b, err2 := os.ReadFile(filepath.Join(two, "2001-01", "2001-01-01.csv.gz"))
	if err1 != nil || err2 != nil || string(a) != string(b) {
		t.Fatalf("two cuts differ: %v, %v", err1, err2)
	}
	z, err := gzip.NewReader(strings.NewReader(string(a)))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if want := "date,delay,distance,origin,destination\n2001-01-01 00:08:00,246,1258,MIA,BOS\n"; err != nil || string(text) != want {
		t.Errorf("the first day is %q, %v, want %q", text, err, want)
	}
}

func TestTheFullSetHasAll(t *testing.T) {
	out := t.TempDir()
	if err := run("full", flights(t, three), out, ""); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(out, "2001-01", "2001-01-01.csv"))
	if err != nil || strings.Count(string(text), "\n") != 3 || !strings.Contains(string(text), "2001-01-01 10:00:00,-1116,300,ORD,STL\n") {
		t.Errorf("the first day is %q, %v", text, err)
	}
}

func TestMistakesAreRefused(t *testing.T) {
	backwards := strings.Replace(three, "2001-01-02", "2000-01-02", 1)
	for want, err := range map[string]error{
		"--out is missing": run("full", "x", "", ""),
		"--mode is":        run("half", "x", t.TempDir(), ""),
		"not in order":     run("full", flights(t, backwards), t.TempDir(), ""),
		"no such file":     run("full", filepath.Join(t.TempDir(), "x"), t.TempDir(), ""),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %q", err, want)
		}
	}
}
