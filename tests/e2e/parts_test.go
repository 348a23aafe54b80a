package e2e

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPartsChangeNothing compares the shop, whose release is made in parts, with the same shop as a whole.
func TestPartsChangeNothing(t *testing.T) {
	t.Parallel()
	divided, whole := newShop(t), newShop(t)
	whole.replace(t, "pipeline.yaml", "    part_by: at\n    part_rows: 50", "")
	for _, s := range []*shop{divided, whole} {
		s.run(t, 0)
		s.finished(t, all(nil))
	}
	if diff := cmp.Diff(computed(t, whole.Box), computed(t, divided.Box)); diff != "" {
		t.Errorf("data files (-whole +parts):\n%s", diff)
	}
	for _, version := range []string{"training-2024-W01.1", "training-2024-W02.1"} {
		name := filepath.Join("warehouse", "releases", "shop", version, "manifest.json")
		if got, want := content(t, filepath.Join(divided.Data, name)), content(t, filepath.Join(whole.Data, name)); got != want {
			t.Errorf("the content of %s is %s in parts, want %s", version, got, want)
		}
	}
}

func TestPartsByADoubleAreFoundByDoctor(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.replace(t, "releases/training.sql", "SELECT r.at", "SELECT CAST(r.units AS DOUBLE) AS at")
	contains(t, "doctor", run(t, s.Box, 1, "doctor", "--listen", "127.0.0.1:0").Out, "FAIL", "training.sql", "parts cannot be made by at")
}
