// Command bench measures the job beside DuckDB doing the same by hand, in turn, and tells wall time, CPU seconds and peak memory of each.
//
//	go run ./tests/bench -almanac bin/almanac -flights .cache/flights
//
// A time counts only once both sides are seen to hold the same rows.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/almanac-data/almanac/tests/internal/gauge"
)

// options are the flags.
type options struct {
	almanac, flights, datasets, dir, out string
	rounds                               int
	only                                 string
	thirty                               bool
}

func main() {
	var o options
	var sql string
	flag.StringVar(&o.almanac, "almanac", "bin/almanac", "the almanac `command`")
	flag.StringVar(&o.flights, "flights", ".cache/flights", "`folder` of the daily CSV files of all flights; make flights makes it")
	flag.StringVar(&o.datasets, "datasets", "spark-jobs", "`folder` of the datasets")
	flag.StringVar(&o.dir, "dir", "", "`folder` to work in; one in .cache, removed at the end, if empty")
	flag.StringVar(&o.out, "json", ".cache/bench.json", "`file` for the figures")
	flag.IntVar(&o.rounds, "rounds", 5, "how often each side runs")
	flag.StringVar(&o.only, "only", "ingest,aggregate,end to end,memory", "what to measure")
	flag.BoolVar(&o.thirty, "thirty", false, "measure the memory of 30,000,000 rows too")
	flag.StringVar(&sql, "sql", "", "run the statements of a `file` in DuckDB, and nothing else; bench starts itself so")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	var err error
	if sql != "" {
		err = execute(ctx, sql)
	} else {
		err = run(ctx, o)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	if o.dir == "" {
		// Not in the system's folder of temporary files: where a compiler has just deleted thousands, ext4 is slow in making new ones.
		if err := os.MkdirAll(".cache", 0o755); err != nil {
			return err
		}
		if o.dir, err = os.MkdirTemp(".cache", "bench-"); err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(o.dir) }()
	}
	b, err := newBench(o)
	if err != nil {
		return err
	}
	began := time.Now()
	for _, w := range []struct {
		name string
		do   func(context.Context) error
	}{{"ingest", b.ingest}, {"aggregate", b.aggregate}, {"end to end", b.endToEnd}, {"memory", b.memory}} {
		if !strings.Contains(o.only, w.name) {
			continue
		}
		if err := w.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	b.report.Took = time.Since(began).Seconds()
	fmt.Print(b.report)
	text, err := json.MarshalIndent(b.report, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(o.out), 0o755); err != nil {
		return err
	}
	return os.WriteFile(o.out, append(text, '\n'), 0o644)
}

func newBench(o options) (*bench, error) {
	b := &bench{options: o}
	for _, path := range []*string{&b.almanac, &b.flights, &b.datasets, &b.dir} {
		abs, err := filepath.Abs(*path)
		if err != nil {
			return nil, err
		}
		*path = abs
	}
	days, err := filepath.Glob(filepath.Join(b.flights, "2001-0[1-6]", "*.csv"))
	if err != nil {
		return nil, err
	}
	if len(days) != 181 {
		return nil, fmt.Errorf("%s holds %d days, want the 181 of 2001-01-01 to 2001-06-30: make flights makes them", b.flights, len(days))
	}
	b.report.Machine = gauge.Machine()
	return b, nil
}
