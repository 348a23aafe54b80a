// Command bench measures Almanac on the plain lab beside programs that others use for the same work, in turn, and tells wall time, CPU seconds
// and peak memory of each.
//
//	make bench-lab starts the lab, this command, and stops the lab.
//
// A time counts only once both sides are seen to have done the same.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/almanac-data/almanac/tests/internal/gauge"
	"github.com/almanac-data/almanac/tests/lab/internal/artifact"
)

// options are the flags.
type options struct {
	bin, flights, datasets, env, cache, dir, out string
	rounds, inFlight, weeks, tasks               int
	interval                                     time.Duration
	only, profile                                string
}

func main() {
	var o options
	flag.StringVar(&o.bin, "bin", "bin", "`folder` of almanac and of the functions' programs")
	flag.StringVar(&o.flights, "flights", ".cache/flights", "`folder` of the daily CSV files of all flights; make flights makes it")
	flag.StringVar(&o.datasets, "datasets", "spark-jobs", "`folder` of the datasets")
	flag.StringVar(&o.env, "lab", ".cache/lab/plain/env", "the lab's env `file`")
	flag.StringVar(&o.cache, "cache", os.Getenv("ALMANAC_LAB_CACHE"), "`folder` of what is fetched; that of the lab if empty")
	flag.StringVar(&o.dir, "dir", "", "`folder` to work in; one in .cache, removed at the end, if empty")
	flag.StringVar(&o.out, "json", ".cache/bench-lab.json", "`file` for the figures")
	flag.IntVar(&o.rounds, "rounds", 5, "how often each side runs")
	flag.IntVar(&o.inFlight, "in-flight", 16, "windows that are collected at once")
	flag.IntVar(&o.weeks, "weeks", 4, "weekly aggregates in each round")
	flag.IntVar(&o.tasks, "tasks", 1, "tasks of Kafka Connect's sink")
	flag.DurationVar(&o.interval, "interval", time.Second, "time between commits of Kafka Connect's sink")
	flag.StringVar(&o.only, "only", "days,months,connect,records,hdfs,spark", "what to measure")
	flag.StringVar(&o.profile, "profile", "", "`file` for a CPU profile of the last run of process, validate and store")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	if o.cache == "" {
		o.cache = filepath.Join(".cache", "lab", "artifacts")
	}
	if o.dir == "" {
		if err := os.MkdirAll(".cache", 0o755); err != nil {
			return err
		}
		if o.dir, err = os.MkdirTemp(".cache", "bench-lab-"); err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(o.dir) }()
	}
	for _, path := range []*string{&o.bin, &o.flights, &o.datasets, &o.env, &o.cache, &o.dir, &o.out} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	if err := artifact.Peers(ctx, o.cache, os.Stderr); err != nil {
		return err
	}
	b := &bench{options: o}
	if b.lab, err = open(o.env); err != nil {
		return err
	}
	defer b.lab.close()
	b.report.Machine = gauge.Machine()
	began := time.Now()
	for _, w := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"days", func(ctx context.Context) error { return b.ingest(ctx, days) }},
		{"months", func(ctx context.Context) error { return b.ingest(ctx, months) }},
		{"connect", b.connect}, {"records", b.records}, {"hdfs", b.put}, {"spark", b.weekly},
	} {
		if !strings.Contains(o.only, w.name) {
			continue
		}
		if err = w.do(ctx); err != nil {
			err = fmt.Errorf("%s: %w", w.name, err)
			break // what was measured before is told
		}
	}
	b.report.Took = time.Since(began).Seconds()
	fmt.Print(b.report)
	text, wrong := json.MarshalIndent(b.report, "", "  ")
	if wrong == nil {
		wrong = os.WriteFile(o.out, append(text, '\n'), 0o644)
	}
	return errors.Join(err, wrong)
}

// bench does the pieces of work and keeps what they took.
type bench struct {
	options

	lab    *lab
	report report
}

func progress(name string, round, rounds int) {
	fmt.Fprintf(os.Stderr, "%s: round %d of %d, %s\n", name, round+1, rounds, time.Now().Format(time.TimeOnly))
}
