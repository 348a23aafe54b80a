package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// aggregates are those of the dataset.
var aggregates = []string{"origin_weekly", "route_weekly"}

// text is a query of the dataset with its bounds written in.
func (b *bench) text(file string, start, end time.Time) (string, error) {
	text, err := os.ReadFile(filepath.Join(b.datasets, "flights", file))
	if err != nil {
		return "", err
	}
	return strings.NewReplacer(":start", timestamp(start), ":end", timestamp(end)).Replace(string(text)), nil
}

func timestamp(t time.Time) string { return "TIMESTAMP '" + t.Format(time.DateTime) + "'" }

// windows lists the weeks or months of the half year that lie wholly in it.
func windows(next func(time.Time) time.Time) (all [][2]time.Time, err error) {
	start, err := time.Parse(time.DateOnly, first)
	if err != nil {
		return nil, err
	}
	end, err := time.Parse(time.DateOnly, last)
	for ; !next(start).After(end); start = next(start) {
		all = append(all, [2]time.Time{start, next(start)})
	}
	return all, err
}

func week(t time.Time) time.Time  { return t.AddDate(0, 0, 7) }
func month(t time.Time) time.Time { return t.AddDate(0, 1, 0) }

// weekly are the statements that compute both aggregates of each week from the rows, as one would by hand.
func (b *bench) weekly(rows string) ([]string, error) {
	weeks, err := windows(week)
	if err != nil {
		return nil, err
	}
	var statements []string
	for _, name := range aggregates {
		if err := os.MkdirAll(filepath.Join(b.dir, name), 0o755); err != nil {
			return nil, err
		}
		for _, w := range weeks {
			text, err := b.text("aggregates/"+name+".sql", w[0], w[1])
			if err != nil {
				return nil, err
			}
			key := w[0].Format(time.DateOnly)
			statements = append(statements,
				fmt.Sprintf("CREATE OR REPLACE TEMP VIEW rows AS SELECT * FROM read_parquet(%s) WHERE date >= %s AND date < %s", rows, timestamp(w[0].AddDate(0, 0, -7)), timestamp(w[1])),
				fmt.Sprintf("COPY (SELECT *, %s AS _window FROM (\n%s\n)) TO '%s' (FORMAT parquet, COMPRESSION zstd)", timestamp(w[0]), text, filepath.Join(b.dir, name, key+".parquet")))
		}
	}
	return statements, nil
}

// monthly are the statements that compute the release of each month.
func (b *bench) monthly(rows string) ([]string, error) {
	months, err := windows(month)
	if err != nil {
		return nil, err
	}
	var statements []string
	for _, w := range months {
		text, err := b.text("releases/training.sql", w[0], w[1])
		if err != nil {
			return nil, err
		}
		statements = append(statements, fmt.Sprintf("CREATE OR REPLACE TEMP VIEW rows AS SELECT * FROM read_parquet(%s) WHERE date >= %s AND date < %s", rows, timestamp(w[0]), timestamp(w[1])))
		for _, name := range aggregates {
			statements = append(statements, fmt.Sprintf("CREATE OR REPLACE TEMP VIEW %s AS SELECT * FROM read_parquet('%s') WHERE _window >= %s AND _window + INTERVAL 7 DAY <= %s",
				name, filepath.Join(b.dir, name, "*.parquet"), timestamp(w[0].AddDate(0, 0, -14)), timestamp(w[1])))
		}
		statements = append(statements, fmt.Sprintf("COPY (SELECT * FROM (\n%s\n) ORDER BY flight_time, origin, destination) TO '%s' (FORMAT parquet, COMPRESSION zstd)",
			text, filepath.Join(b.dir, "training-"+w[0].Format("2006-01")+".parquet")))
	}
	return statements, nil
}

const weeklySums = "SELECT concat_ws(' ', count(*), sum(flights), sum(late_flights), sum(p90_delay), count(mean_delay_change), round(sum(mean_delay), 3), round(sum(sd_delay), 3)) FROM "

func (b *bench) sameWeeks(ctx context.Context, data string) error {
	for _, name := range aggregates {
		files, err := live(data, name)
		if err != nil {
			return err
		}
		if err := same(ctx, name, weeklySums+"read_parquet("+files+")", weeklySums+"read_parquet('"+filepath.Join(b.dir, name, "*.parquet")+"')"); err != nil {
			return err
		}
	}
	return nil
}

// aggregate: both aggregates of 26 weeks over the stored rows, beside the bare SQL on the same Parquet files. Ours starts, finds out what is due,
// computes, and commits each week.
func (b *bench) aggregate(ctx context.Context) error {
	bare, err := b.dataset("ingest", b.flights, true)
	if err != nil {
		return err
	}
	weekly, err := b.dataset("weekly", b.flights, false)
	if err != nil {
		return err
	}
	if err := rewrite(filepath.Join(weekly, "flights"), filepath.Join(weekly, "flights"), "pipeline.yaml", func(text string) string {
		return text[:strings.Index(text, "\nreleases:")+1]
	}); err != nil {
		return err
	}
	ingested := b.fresh()
	if err != nil {
		return err
	}
	if _, err := b.ours(ctx, ingested, bare); err != nil {
		return err
	}
	c := compared{Name: "52 weekly aggregates"}
	if c.Rows, err = countOf(ingested); err != nil {
		return err
	}
	for round := range b.rounds {
		progress(c.Name, round, b.rounds)
		if err := b.aggregateOnce(ctx, &c, ingested, weekly); err != nil {
			return err
		}
	}
	b.report.Compared = append(b.report.Compared, c)
	return nil
}

func (b *bench) aggregateOnce(ctx context.Context, c *compared, ingested, weekly string) error {
	data := filepath.Join(b.dir, "aggregated")
	if err := os.RemoveAll(data); err != nil {
		return err
	}
	// The metadata name files by their absolute paths, so the folder itself is worked in, and put back from a copy.
	if err := os.CopyFS(data, os.DirFS(ingested)); err != nil {
		return err
	}
	// The copy is readable by all, which almanac refuses of a key.
	if err := os.Chmod(filepath.Join(data, "pseudonym.key"), 0o600); err != nil {
		return err
	}
	defer func() {
		_ = os.RemoveAll(ingested)
		_ = os.Rename(data, ingested)
	}()
	f, err := b.ours(ctx, ingested, weekly)
	if err != nil {
		return err
	}
	c.Ours = append(c.Ours, f)
	if f, err = b.ours(ctx, ingested, weekly); err != nil {
		return err
	}
	c.Start = append(c.Start, f)
	rows, err := live(ingested, "rows")
	if err != nil {
		return err
	}
	statements, err := b.weekly(rows)
	if err != nil {
		return err
	}
	if f, err = b.theirs(ctx, statements); err != nil {
		return err
	}
	c.Theirs = append(c.Theirs, f)
	return b.sameWeeks(ctx, ingested)
}

const releaseSums = "SELECT concat_ws(' ', count(*), sum(delay), sum(origin_flights), sum(route_flights), count(route_mean_delay), sum(route_p90_delay), count(*) FILTER (WHERE split = 'test')) FROM "

// endToEnd: ingest, aggregates and the releases of all six months, which hold each row once.
func (b *bench) endToEnd(ctx context.Context) error {
	datasets, err := b.dataset("end-to-end", b.flights, false)
	if err != nil {
		return err
	}
	c := compared{Name: "end to end, with releases"}
	theirs := filepath.Join(b.dir, "flights.parquet")
	// By hand one would leave the rows outside the contract out in the same go.
	statements := []string{strings.Replace(b.copyCSV(theirs), ") TO '", " WHERE "+contract+") TO '", 1)}
	for _, part := range []func(string) ([]string, error){b.weekly, b.monthly} {
		more, err := part("'" + theirs + "'")
		if err != nil {
			return err
		}
		statements = append(statements, more...)
	}
	for round := range b.rounds {
		progress(c.Name, round, b.rounds)
		data := b.fresh()
		if err != nil {
			return err
		}
		f, err := b.ours(ctx, data, datasets)
		if err != nil {
			return err
		}
		c.Ours = append(c.Ours, f)
		if f, err = b.theirs(ctx, statements); err != nil {
			return err
		}
		c.Theirs = append(c.Theirs, f)
		if err := b.sameWeeks(ctx, data); err != nil {
			return err
		}
		published := filepath.Join(data, "warehouse", "releases", "flights", "*", "data", "*.parquet")
		if err := same(ctx, "releases", releaseSums+"read_parquet('"+published+"')", releaseSums+"read_parquet('"+filepath.Join(b.dir, "training-*.parquet")+"')"); err != nil {
			return err
		}
		if c.Rows, err = countOf(data); err != nil {
			return err
		}
	}
	b.report.Compared = append(b.report.Compared, c)
	return nil
}
