// Package cluster does the same job on real servers as one process does alone: Kafka, HDFS and Spark of the lab. What comes out must be the
// same, byte for byte, also when each server is killed on the way.
package cluster

import (
	"context"
	"flag"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/almanac-data/almanac/tests/internal/box"
	"github.com/almanac-data/almanac/tests/internal/outcome"
)

var (
	almanac   = flag.String("almanac", "", "the almanac `command`; without it the tests are skipped")
	functions = flag.String("functions", "", "`folder` of the functions' programs; without it they are not tested")
	lab       = flag.String("lab", "", "the lab's env `file` (.cache/lab/plain/env); without it the tests are skipped")
	faults    = flag.Int("faults", 0, "how `many` faults; 0 means one for each victim")
	seed      = flag.Uint64("seed", 0, "of the moments; 0 takes one from the clock")
)

// root is the repository.
const root = "../.."

// patience is how long one command may take.
const patience = 15 * time.Minute

// random is seeded by -seed; the seed is printed.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d: repeat with -seed %d", *seed, *seed)
	return rand.New(rand.NewPCG(*seed, 0))
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// patient is a context for one command.
func patient(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// run runs a command, which must end with the code.
func run(t *testing.T, b box.Box, code int, args ...string) box.Result {
	t.Helper()
	result, err := b.Run(patient(t), args...)
	if err != nil {
		t.Fatal(err)
	}
	if result.Code != code {
		t.Fatalf("almanac %v: want exit %d: %s", args, code, result)
	}
	return result
}

// single is what one process has made of datasets, with its own broker, local files and DuckDB.
type single struct {
	box     box.Box
	outcome *outcome.Outcome
}

// inOneProcess lets one process make of the datasets what the cluster is to make.
func inOneProcess(t *testing.T, datasets string) *single {
	t.Helper()
	b := box.Box{Binary: absolute(t, *almanac), Datasets: datasets, Data: filepath.Join(t.TempDir(), "alone")}
	result := run(t, b, 0, "run", "--no-serve")
	o, err := outcome.Examine(patient(t), b, filepath.Join(b.Data, "warehouse"))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("one process: %.1fs, %d releases", result.Wall.Seconds(), len(o.Releases))
	return &single{b, o}
}
