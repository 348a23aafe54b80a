package main

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	_ "github.com/duckdb/duckdb-go/v2" // reads what both sides hold

	"github.com/almanac-data/almanac/tests/internal/reader"
)

// layout is how the flights are cut into windows.
type layout struct {
	name    string // of the dataset's folder, and of what is measured
	every   string
	file    string // pattern of a window's file
	windows int
}

var (
	days   = layout{"181 daily windows", "day", "{yyyy-mm}/{yyyy-mm-dd}.csv", 181}
	months = layout{"6 monthly windows", "month", "{yyyy-mm}.csv", 6}
)

// source is a dataset of the flights in one layout.
type source struct {
	layout

	datasets string   // folder of datasets
	keys     []string // of the windows
	glob     string   // of the files
	rows     int64
}

// prepare makes the files of a layout, and the dataset flights that collects them and makes nothing of the rows.
func (b *bench) prepare(l layout) (*source, error) {
	daily, err := filepath.Glob(filepath.Join(b.flights, "2001-0[1-6]", "*.csv"))
	if err != nil {
		return nil, err
	}
	if len(daily) != days.windows {
		return nil, fmt.Errorf("%s holds %d days, want the 181 of 2001-01-01 to 2001-06-30: make flights makes them", b.flights, len(daily))
	}
	s := &source{layout: l, datasets: filepath.Join(b.dir, l.every)}
	files := b.flights
	if l.every == months.every {
		files = filepath.Join(b.dir, "months")
		s.glob = filepath.Join(files, "*.csv")
	} else {
		s.glob = filepath.Join(files, "2001-0[1-6]", "*.csv")
	}
	if s.keys, s.rows, err = b.write(daily, files, l); err != nil {
		return nil, err
	}
	to := filepath.Join(s.datasets, "flights")
	if err := os.MkdirAll(to, 0o755); err != nil {
		return nil, err
	}
	if err := b.rewrite(to, "contract.yaml", "mustBeBetween: [300, 30000]", "mustBeBetween: [30, 4000000]"); err != nil {
		return nil, err
	}
	if err := b.rewrite(to, "pipeline.yaml", "sample/{yyyy-mm}/{yyyy-mm-dd}.csv.gz", files+"/"+l.file, "  every: day\n", "  every: "+l.every+"\n"); err != nil {
		return nil, err
	}
	return s, nil
}

// rewrite copies a file of the dataset flights up to its aggregates, with parts of it replaced.
func (b *bench) rewrite(to, name string, changes ...string) error {
	text, err := os.ReadFile(filepath.Join(b.datasets, "flights", name))
	if err != nil {
		return err
	}
	rows, _, _ := strings.Cut(string(text), "\naggregates:")
	return os.WriteFile(filepath.Join(to, name), []byte(strings.NewReplacer(changes...).Replace(rows)+"\n"), 0o644)
}

// write goes through the days: it writes the files of months, if those are the layout, and the payload of Kafka's tool: the rows without headers.
func (b *bench) write(daily []string, files string, l layout) (keys []string, rows int64, err error) {
	if err := os.MkdirAll(files, 0o755); err != nil {
		return nil, 0, err
	}
	f, err := os.Create(b.payload())
	if err != nil {
		return nil, 0, err
	}
	out := bufio.NewWriter(f)
	month := map[string][]byte{}
	for _, name := range daily {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, 0, errors.Join(err, f.Close())
		}
		header, body, _ := bytes.Cut(data, []byte("\n"))
		rows += int64(bytes.Count(body, []byte("\n")))
		_, _ = out.Write(body) // Flush gives the error
		day := strings.TrimSuffix(filepath.Base(name), ".csv")
		if l.every == days.every {
			keys = append(keys, day)
			continue
		}
		key := day[:len("2001-01")]
		if month[key] == nil {
			keys = append(keys, key)
			month[key] = append(bytes.Clone(header), '\n')
		}
		month[key] = append(month[key], body...)
	}
	for key, data := range month {
		err = errors.Join(err, os.WriteFile(filepath.Join(files, key+".csv"), data, 0o644))
	}
	return keys, rows, errors.Join(err, out.Flush(), f.Close())
}

func (b *bench) payload() string { return filepath.Join(b.dir, "rows.csv") }

const (
	// contract says which rows are stored: what the dataset's rules let pass.
	contract = "delay BETWEEN -60 AND 1440 AND distance BETWEEN 1 AND 6000"
	sums     = "SELECT concat_ws(' ', count(*), sum(delay), sum(distance), count(DISTINCT origin || destination), sum(epoch_us(date)::HUGEINT)) FROM "
	count    = "SELECT count(*)::VARCHAR FROM "
)

// csv reads the files of the source in SQL.
func (s *source) csv() string {
	return "read_csv('" + s.glob + "', header = true, auto_detect = false, delim = ',', quote = '\"', timestampformat = '%Y-%m-%d %H:%M:%S', " +
		"columns = {'date': 'TIMESTAMP', 'delay': 'BIGINT', 'distance': 'BIGINT', 'origin': 'VARCHAR', 'destination': 'VARCHAR'})"
}

// same downloads the warehouse, and holds it to the files of the source. It gives the data files of the rows, by their paths below the warehouse.
func (b *bench) same(ctx context.Context, s *source) ([]string, error) {
	local, err := b.download(ctx, b.lab.env["HDFS_WAREHOUSE"])
	if err != nil {
		return nil, err
	}
	t, err := equal(ctx, filepath.Join(local, "flights", "rows"), sums, s.csv()+" WHERE "+contract)
	if err != nil {
		return nil, err
	}
	if _, err := equal(ctx, filepath.Join(local, "flights", "quarantine"), count, s.csv()+" WHERE NOT ("+contract+")"); err != nil {
		return nil, err
	}
	var rows []string
	for _, f := range t.Files {
		rows = append(rows, strings.TrimPrefix(f.Path, local))
	}
	slices.Sort(rows)
	return rows, nil
}

// download copies a folder of HDFS by Hadoop's own client.
func (b *bench) download(ctx context.Context, folder string) (string, error) {
	local := filepath.Join(b.dir, "warehouse")
	if err := os.RemoveAll(local); err != nil {
		return "", err
	}
	_, err := b.lab.hdfs(ctx, "-get", folder, local)
	return local, err
}

// equal holds a table to what a query gives of rows that SQL reads elsewhere.
func equal(ctx context.Context, table, query, from string) (*reader.Table, error) {
	t, err := reader.Open(table)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(t.Files))
	for i, f := range t.Files {
		names[i] = "'" + f.Path + "'"
	}
	got, err := ask(ctx, query+"read_parquet(["+strings.Join(names, ", ")+"])")
	if err != nil {
		return nil, err
	}
	if want, err := ask(ctx, query+from); err != nil || got != want {
		return nil, errors.Join(err, fmt.Errorf("%s differs: stored %s, in the files %s", filepath.Base(table), got, want))
	}
	return t, nil
}

// ask gives the one text that a query has.
func ask(ctx context.Context, query string) (text string, err error) {
	db, err := sql.Open("duckdb", "")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.QueryRowContext(ctx, query).Scan(&text); err != nil {
		return "", fmt.Errorf("%.300s: %w", query, err)
	}
	return text, nil
}
