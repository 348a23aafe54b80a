// Package e2e uses Almanac as its users do: by its command, over HTTP, by the events of its functions, and through the files that it
// writes, read by other programs.
package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/almanac-data/almanac/tests/internal/box"
)

var (
	almanac   = flag.String("almanac", "", "the almanac `command`; without it the tests are skipped")
	functions = flag.String("functions", "", "`folder` of the functions' programs; without it they are not tested")
)

// root is the repository.
const root = "../.."

// patience is how long one command may take.
const patience = 2 * time.Minute

// scratch is a folder for what several tests share.
var scratch string

func TestMain(m *testing.M) {
	flag.Parse()
	code := 1
	dir, err := os.MkdirTemp("", "almanac-e2e-")
	if err == nil {
		scratch = dir
		code = m.Run()
		err = os.RemoveAll(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// command is the absolute path of the command, or the test is skipped.
func command(t *testing.T) string {
	t.Helper()
	if *almanac == "" {
		t.Skip("give the command to test: go test ./tests/e2e -args -almanac bin/almanac -functions bin, or make e2e")
	}
	path, err := filepath.Abs(*almanac)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// patient is a context for one command.
func patient(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

var shipped struct {
	sync.Once

	box box.Box
	err error
}

// replayed is a data folder in which the shipped datasets are finished. Tests share it and do not change it.
func replayed(t *testing.T) box.Box {
	t.Helper()
	binary := command(t)
	shipped.Do(func() {
		shipped.box = box.Box{Binary: binary, Datasets: filepath.Join(root, "spark-jobs"), Data: filepath.Join(scratch, "shipped")}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		result, err := shipped.box.Run(ctx, "run", "--no-serve")
		if err == nil && result.Code != 0 {
			err = fmt.Errorf("almanac run: %s", result)
		}
		shipped.err = err
	})
	if shipped.err != nil {
		t.Fatal(shipped.err)
	}
	return shipped.box
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

// status is the status of the only dataset of a box.
func status(t *testing.T, b box.Box) box.Dataset {
	t.Helper()
	all, err := b.Status(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 {
		t.Fatalf("status tells of %d datasets, want 1", len(all))
	}
	return all[0]
}
