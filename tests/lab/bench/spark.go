package main

import (
	"context"
	_ "embed" // the script
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/almanac-data/almanac/tests/internal/box"
	"github.com/almanac-data/almanac/tests/internal/gauge"
)

//go:embed weekly.py
var script []byte

// asked is one query, as BenchmarkWeekly and weekly.py read it.
type asked struct {
	Text    string    `json:"text"`
	Start   time.Time `json:"start"`
	End     time.Time `json:"end"`
	From    time.Time `json:"from"`
	Files   []string  `json:"files"`
	OrderBy []string  `json:"order_by"`
}

// answered is what one query took.
type answered struct {
	Seconds float64 `json:"seconds"`
	Rows    int64   `json:"rows"`
	Digest  string  `json:"digest"`
}

// weekly: the aggregate route_weekly of some weeks over rows that were stored before, by the engine of the functions beside Spark's own client in Python. Both ask the
// same server for the same SQL over the same files, and read the answer whole.
func (b *bench) weekly(ctx context.Context) error {
	queries, err := b.queries(ctx)
	if err != nil {
		return err
	}
	program := filepath.Join(b.dir, "spark.test")
	if _, err := command(ctx, nil, "go", "test", "-c", "-o", program, "./functions/internal/spark"); err != nil {
		return err
	}
	name := filepath.Join(b.dir, "weekly.py")
	if err := os.WriteFile(name, script, 0o644); err != nil {
		return err
	}
	py4j, err := filepath.Glob(filepath.Join(b.lab.env["SPARK_HOME"], "python", "lib", "py4j-*.zip"))
	if err != nil {
		return err
	}
	path := append([]string{filepath.Join(b.cache, "client"), filepath.Dir(b.lab.env["SPARK_HOME"])}, py4j...)
	env := []string{
		"ALMANAC_TEST_SPARK=" + b.lab.env["SPARK_REMOTE"], "ALMANAC_TEST_SPARK_QUERIES=" + queries,
		"PYTHONPATH=" + strings.Join(path, ":"), "PYTHONDONTWRITEBYTECODE=1",
	}
	c := compared{Name: fmt.Sprintf("%d weekly aggregates on Spark", b.weeks), Peer: "pyspark client", Units: float64(b.weeks), Unit: "queries", Goal: 1 / 1.05}
	for round := range b.rounds {
		progress(c.Name, round, b.rounds)
		ours, err := command(ctx, env, program, "-test.run", "^$", "-test.bench", "^BenchmarkWeekly$", "-test.benchtime", "1x")
		if err != nil {
			return err
		}
		theirs, err := command(ctx, env, "python3", name, b.lab.env["SPARK_REMOTE"], queries)
		if err != nil {
			return err
		}
		if err := c.add(ours, theirs, b.weeks); err != nil {
			return err
		}
	}
	b.report.Compared = append(b.report.Compared, c)
	return nil
}

// add compares the answers of both sides, and keeps what they took. CPU seconds and memory are those of the whole clients.
func (c *compared) add(ours, theirs box.Result, weeks int) error {
	a, err := answers(ours)
	if err != nil {
		return err
	}
	p, err := answers(theirs)
	if err != nil {
		return err
	}
	if len(a) != weeks || len(p) != weeks {
		return fmt.Errorf("want %d answers on each side: %s\n%s", weeks, ours, theirs)
	}
	f, g := gauge.Of(ours), gauge.Of(theirs)
	f.Wall, g.Wall = 0, 0
	for i := range a {
		if a[i].Rows == 0 || a[i].Rows != p[i].Rows || a[i].Digest != p[i].Digest {
			return fmt.Errorf("the answers to query %d differ: ours %+v, theirs %+v", i, a[i], p[i])
		}
		f.Wall += a[i].Seconds
		g.Wall += p[i].Seconds
	}
	c.Ours, c.Theirs = append(c.Ours, f), append(c.Theirs, g)
	return nil
}

func answers(r box.Result) (all []answered, err error) {
	for _, line := range box.Lines(r.Out) {
		if _, text, ok := strings.Cut(line, "answer {"); ok {
			var a answered
			err = errors.Join(err, json.Unmarshal([]byte("{"+text), &a))
			all = append(all, a)
		}
	}
	return all, err
}

// queries stores the rows of all days, unless they are, and writes the file of what is asked about them.
func (b *bench) queries(ctx context.Context) (string, error) {
	s, err := b.prepare(days)
	if err != nil {
		return "", err
	}
	if err := b.lab.empty(ctx); err != nil {
		return "", err
	}
	if _, err := b.store(ctx, s); err != nil {
		return "", err
	}
	files, err := b.same(ctx, s)
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(b.datasets, "flights", "aggregates", "route_weekly.sql"))
	if err != nil {
		return "", err
	}
	var all []asked
	for i := range b.weeks {
		start := time.Date(2001, 1, 15+7*i, 0, 0, 0, 0, time.UTC)
		q := asked{Text: string(text), Start: start, End: start.AddDate(0, 0, 7), From: start.AddDate(0, 0, -7), OrderBy: []string{"origin", "destination"}}
		for day := q.From; day.Before(q.End); day = day.AddDate(0, 0, 1) {
			for _, name := range files {
				if strings.Contains(name, day.Format(time.DateOnly)) {
					q.Files = append(q.Files, b.lab.env["HDFS_WAREHOUSE"]+name)
				}
			}
		}
		if len(q.Files) != 14 {
			return "", fmt.Errorf("%d data files lie in the two weeks before %s, want 14: %s", len(q.Files), q.End, files[:min(3, len(files))])
		}
		all = append(all, q)
	}
	data, err := json.Marshal(all)
	if err != nil {
		return "", err
	}
	name := filepath.Join(b.dir, "queries.json")
	return name, os.WriteFile(name, data, 0o644)
}
