package lake_test

import (
	"testing"

	"github.com/almanac-data/almanac/functions/internal/lake"
	"github.com/almanac-data/almanac/functions/internal/lake/laketest"
)

func open(t testing.TB, dir string) *lake.Lake {
	t.Helper()
	l, err := lake.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestConformance(t *testing.T) { laketest.Run(t, open) }
