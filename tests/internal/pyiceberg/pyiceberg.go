// Package pyiceberg reads Iceberg tables with PyIceberg, a program that shares nothing with Almanac.
package pyiceberg

import (
	"encoding/json"
	"fmt"
	"math/big"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/almanac-data/almanac/tests/internal/python"
	"github.com/almanac-data/almanac/tests/internal/reader"
)

// here is the folder of this package in the repository.
const here = "tests/internal/pyiceberg"

// Venv makes .cache/venv of the repository with PyIceberg and what else reads tables and contracts, once.
func Venv(t *testing.T, root string) string {
	t.Helper()
	return python.Venv(t, root, "venv", here+"/requirements.txt")
}

// Table is what PyIceberg says of a table.
type Table struct {
	Rows    int                    `json:"rows"`
	Columns []string               `json:"columns"`
	Sums    map[string]json.Number `json:"sums"`
	Files   int                    `json:"files"`
}

// Read describes tables by the paths or URIs of their metadata. Those of the scheme hdfs are read through WebHDFS at its address, if one is given, without Kerberos.
func Read(t *testing.T, root, webhdfs string, metadata ...string) map[string]Table {
	t.Helper()
	args := []string{filepath.Join(root, here, "read.py")}
	if webhdfs != "" {
		args = append(args, "--webhdfs", webhdfs)
	}
	var got map[string]Table
	if err := json.Unmarshal(python.Output(t, 5*time.Minute, filepath.Join(Venv(t, root), "bin", "python"), append(args, metadata...)...), &got); err != nil {
		t.Fatal(err)
	}
	return got
}

// Same compares what PyIceberg reads with what the tests' own reader reads.
func Same(t *testing.T, name string, got Table, want *reader.Table) {
	t.Helper()
	if !slices.Equal(got.Columns, want.Columns) || got.Files != len(want.Files) {
		t.Errorf("%s: PyIceberg sees columns %v in %d files, want %v in %d", name, got.Columns, got.Files, want.Columns, len(want.Files))
	}
	rows, err := want.Rows()
	if err != nil {
		t.Fatal(err)
	}
	if got.Rows != rows.Len() {
		t.Errorf("%s: PyIceberg sees %d rows, want %d", name, got.Rows, rows.Len())
	}
	for column, sum := range got.Sums {
		values, err := want.Rows(column)
		if err != nil {
			t.Fatal(err)
		}
		total := new(big.Int)
		for value, n := range values {
			if v, err := strconv.ParseInt(value, 10, 64); err == nil {
				total.Add(total, new(big.Int).Mul(big.NewInt(v), big.NewInt(int64(n))))
			}
		}
		if sum.String() != total.String() && (sum != "" || len(values) > 0) && fmt.Sprint(sum) != "null" {
			t.Errorf("%s: PyIceberg sums %s to %s, want %s", name, column, sum, total)
		}
	}
}
