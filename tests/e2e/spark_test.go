package e2e

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/almanac-data/almanac/tests/internal/box"
)

// computed finds what SQL has made in a warehouse: the data files of aggregates and releases, by the window or release and their name, which
// is their digest.
func computed(t *testing.T, b box.Box) []string {
	t.Helper()
	warehouse := filepath.Join(b.Data, "warehouse")
	var found []string
	err := filepath.WalkDir(warehouse, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(name) != ".parquet" {
			return err
		}
		relative, err := filepath.Rel(warehouse, name)
		if !strings.Contains(relative, "/rows/") && !strings.Contains(relative, "/quarantine/") {
			found = append(found, relative)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// cells reads a Parquet file whole.
func cells(t *testing.T, name string) arrow.Table {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	table, err := pqarrow.ReadTable(context.Background(), f, parquet.NewReaderProperties(nil), pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// sameCells compares two files cell by cell, and says which is the first to differ in each column.
func sameCells(t *testing.T, duck, spark string) {
	t.Helper()
	a, b := cells(t, duck), cells(t, spark)
	defer a.Release()
	defer b.Release()
	if !a.Schema().Equal(b.Schema()) || a.NumRows() != b.NumRows() {
		t.Errorf("%s: DuckDB has %d rows of %s, Spark %d of %s", spark, a.NumRows(), a.Schema(), b.NumRows(), b.Schema())
		return
	}
	for i := range int(a.NumCols()) {
		if array.ChunkedEqual(a.Column(i).Data(), b.Column(i).Data()) {
			continue
		}
		x, errX := array.Concatenate(a.Column(i).Data().Chunks(), memory.DefaultAllocator)
		y, errY := array.Concatenate(b.Column(i).Data().Chunks(), memory.DefaultAllocator)
		if errX != nil || errY != nil {
			t.Fatal(errX, errY)
		}
		for row := range x.Len() {
			if p, q := x.ValueStr(row), y.ValueStr(row); p != q {
				t.Errorf("%s: row %d, %s: DuckDB has %s, Spark %s", spark, row, a.Column(i).Name(), p, q)
				break
			}
		}
		x.Release()
		y.Release()
	}
}

// TestSparkMakesTheSameFiles runs each SQL text of the shipped datasets over all of their samples on both engines, through the same command,
// and compares what comes out cell by cell and byte by byte, the hashed part of the manifests included.
func TestSparkMakesTheSameFiles(t *testing.T) {
	server := os.Getenv("ALMANAC_TEST_SPARK")
	if server == "" {
		t.Skip("no Spark: set ALMANAC_TEST_SPARK=sc://host:port of a Spark 4 Connect server that sees this machine's files; make lab starts one")
	}
	duck := replayed(t)
	spark := box.Box{Binary: duck.Binary, Datasets: duck.Datasets, Data: filepath.Join(t.TempDir(), "spark"), Env: []string{"ALMANAC_SPARK=" + server}}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	result, err := spark.Run(ctx, "run", "--no-serve")
	if err != nil || result.Code != 0 {
		t.Fatalf("almanac run on Spark: %v: %s", err, result)
	}
	want, got := computed(t, duck), computed(t, spark)
	if len(want) == 0 || len(want) != len(got) {
		t.Fatalf("DuckDB made %d files, Spark %d", len(want), len(got))
	}
	for i := range want {
		if filepath.Dir(want[i]) != filepath.Dir(got[i]) {
			t.Fatalf("DuckDB made %s, Spark %s", want[i], got[i])
		}
		one, other := filepath.Join(duck.Data, "warehouse", want[i]), filepath.Join(spark.Data, "warehouse", got[i])
		sameCells(t, one, other)
		if text(t, one) != text(t, other) {
			t.Errorf("%s is made by Spark with other bytes: %s", want[i], filepath.Base(got[i]))
		}
	}
	manifests, err := filepath.Glob(filepath.Join(duck.Data, "warehouse", "releases", "*", "*", "manifest.json"))
	if err != nil || len(manifests) == 0 {
		t.Fatalf("no manifest: %v", err)
	}
	for _, name := range manifests {
		relative, _ := filepath.Rel(duck.Data, name)
		if content(t, name) != content(t, filepath.Join(spark.Data, relative)) {
			t.Errorf("%s: the content differs", relative)
		}
	}
	t.Logf("%d files of aggregates and releases and %d manifests are equal; DuckDB and Spark in %s", len(want), len(manifests), result.Wall.Round(time.Second))
}

// TestAloneAFunctionNeedsSpark starts those that compute without saying where.
func TestAloneAFunctionNeedsSpark(t *testing.T) {
	command(t)
	if *functions == "" {
		t.Skip("give the folder of the functions' programs: -functions bin, made by make functions")
	}
	for _, name := range []string{"aggregate", "deliver"} {
		cmd := exec.Command(filepath.Join(*functions, name))
		cmd.Env = append(os.Environ(), "ALMANAC_SPARK=", "ALMANAC_WAREHOUSE="+t.TempDir())
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "ALMANAC_SPARK is not set") || !strings.Contains(string(out), "almanac run") {
			t.Errorf("%s without Spark ends with %v: %s", name, err, out)
		}
	}
}

func text(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// content is the hashed part of a manifest.
func content(t *testing.T, name string) string {
	t.Helper()
	var m struct {
		Content json.RawMessage `json:"content"`
	}
	if err := json.Unmarshal([]byte(text(t, name)), &m); err != nil || len(m.Content) == 0 {
		t.Fatalf("%s: %v", name, err)
	}
	return string(m.Content)
}
