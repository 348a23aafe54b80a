package onebox

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSweepRemovesOnlyWhatIsInTheMaking(t *testing.T) {
	f, err := OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if err := f.Sweep(); err != nil {
		t.Fatalf("Sweep() without a warehouse = %v, want nil", err)
	}
	for _, name := range []string{"flights/rows/data/2001-01-01/.tmp-1", "releases/flights/.tmp-2/data/x.parquet", "flights/rows/data/2001-01-01/kept.parquet"} {
		path := filepath.Join(f.Warehouse(), name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Sweep(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"flights/rows/data/2001-01-01/.tmp-1": false, "releases/flights/.tmp-2": false, "flights/rows/data/2001-01-01/kept.parquet": true,
	} {
		if _, err := os.Stat(filepath.Join(f.Warehouse(), name)); (err == nil) != want {
			t.Errorf("after Sweep %s: %v, want there = %v", name, err, want)
		}
	}
}
