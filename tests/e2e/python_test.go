package e2e

import (
	"path/filepath"
	"testing"

	"github.com/almanac-data/almanac/tests/internal/pyiceberg"
	"github.com/almanac-data/almanac/tests/internal/python"
	"github.com/almanac-data/almanac/tests/internal/reader"
)

func TestPyIceberg(t *testing.T) {
	b := replayed(t)
	want := map[string]*reader.Table{}
	var metadata []string
	for _, name := range []string{"flights", "births"} {
		tables, err := reader.Tables(filepath.Join(b.Data, "warehouse"), name)
		if err != nil {
			t.Fatal(err)
		}
		for table, opened := range tables {
			want[opened.Metadata] = opened
			metadata = append(metadata, opened.Metadata)
			t.Logf("%s.%s", name, table)
		}
	}
	if len(want) < 5 {
		t.Errorf("the shipped datasets have %d tables, want at least rows and aggregates of two datasets, and a quarantine", len(want))
	}
	got := pyiceberg.Read(t, root, "", metadata...)
	for name, table := range want {
		pyiceberg.Same(t, name, got[name], table)
	}
}

// TestContractsOfTheStandard has another program check that the contracts are those of the Open Data Contract Standard.
func TestContractsOfTheStandard(t *testing.T) {
	command(t)
	dir := pyiceberg.Venv(t, root)
	for _, contract := range []string{
		filepath.Join(root, "spark-jobs", "flights", "contract.yaml"),
		filepath.Join(root, "spark-jobs", "births", "contract.yaml"),
		filepath.Join("testdata", "shop", "contract.yaml"),
	} {
		out := python.Output(t, patience, filepath.Join(dir, "bin", "datacontract"), "lint", contract)
		contains(t, "datacontract lint "+contract, string(out), "Data contract is valid")
	}
}
