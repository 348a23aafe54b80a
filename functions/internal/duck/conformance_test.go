package duck_test

import (
	"testing"

	"github.com/almanac-data/almanac/functions/internal/duck"
	"github.com/almanac-data/almanac/functions/internal/query/querytest"
)

func TestConformance(t *testing.T) {
	dir := t.TempDir()
	querytest.Run(t, open(t, duck.Options{Threads: 2, Dirs: []string{dir}}), dir)
}
