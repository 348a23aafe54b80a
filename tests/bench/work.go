package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/almanac-data/almanac/tests/internal/reader"
)

// bench does the pieces of work and keeps what they took.
type bench struct {
	options

	folders int
	report  report
}

const (
	first = "2001-01-01"
	last  = "2001-07-01" // exclusive
)

// contract says which rows are stored: what the dataset's rules let pass.
const contract = "delay BETWEEN -60 AND 1440 AND distance BETWEEN 1 AND 6000"

// dataset makes a folder of datasets that holds the flights, from other files, and without what the pipeline makes of the rows if bare.
func (b *bench) dataset(name, files string, bare bool) (string, error) {
	dir := filepath.Join(b.dir, name)
	to := filepath.Join(dir, "flights")
	if err := os.MkdirAll(to, 0o755); err != nil {
		return "", err
	}
	for _, part := range []string{"aggregates", "releases"} {
		if err := os.CopyFS(filepath.Join(to, part), os.DirFS(filepath.Join(b.datasets, "flights", part))); err != nil && !errors.Is(err, os.ErrExist) {
			return "", err
		}
	}
	from := filepath.Join(b.datasets, "flights")
	if err := rewrite(from, to, "contract.yaml", func(text string) string {
		return strings.Replace(text, "mustBeBetween: [300, 30000]", "mustBeBetween: [30, 400000]", 1)
	}); err != nil {
		return "", err
	}
	return dir, rewrite(from, to, "pipeline.yaml", func(text string) string {
		text = strings.Replace(text, "sample/{yyyy-mm}/{yyyy-mm-dd}.csv.gz", files+"/{yyyy-mm}/{yyyy-mm-dd}.csv", 1)
		if at := strings.Index(text, "\naggregates:"); bare && at >= 0 {
			text = text[:at+1]
		}
		return text
	})
}

func rewrite(from, to, name string, change func(string) string) error {
	text, err := os.ReadFile(filepath.Join(from, name))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(to, name), []byte(change(string(text))), 0o644)
}

// fresh is an empty data folder. Those before stay until the end: to delete thousands of files makes ext4 slow in making new ones for
// minutes, since it passes over inodes that were freed of late.
func (b *bench) fresh() string {
	b.folders++
	return filepath.Join(b.dir, fmt.Sprintf("data-%d", b.folders))
}

// live lists the data files of a table as a DuckDB list.
func live(data, table string) (string, error) {
	t, err := reader.Open(filepath.Join(data, "warehouse", "flights", table))
	if err != nil {
		return "", err
	}
	names := make([]string, len(t.Files))
	for i, f := range t.Files {
		names[i] = "'" + f.Path + "'"
	}
	return "[" + strings.Join(names, ", ") + "]", nil
}

// readCSV is what DuckDB is told of the files; it need not guess.
func (b *bench) readCSV() string {
	return "read_csv('" + b.flights + "/2001-0[1-6]/*.csv', header = true, auto_detect = false, delim = ',', quote = '\"', timestampformat = '%Y-%m-%d %H:%M:%S', " +
		"columns = {'date': 'TIMESTAMP', 'delay': 'BIGINT', 'distance': 'BIGINT', 'origin': 'VARCHAR', 'destination': 'VARCHAR'})"
}

func (b *bench) copyCSV(to string) string {
	return "COPY (SELECT * FROM " + b.readCSV() + ") TO '" + to + "' (FORMAT parquet, COMPRESSION zstd)"
}

const sums = "SELECT concat_ws(' ', count(*), sum(delay), sum(distance), count(DISTINCT origin || destination), sum(epoch_us(date)::HUGEINT)) FROM "

// ingest: collect, process, validate and store, beside COPY from CSV to Parquet.
func (b *bench) ingest(ctx context.Context) error {
	datasets, err := b.dataset("ingest", b.flights, true)
	if err != nil {
		return err
	}
	c := compared{Name: "ingest"}
	theirs := filepath.Join(b.dir, "flights.parquet")
	for round := range b.rounds {
		progress(c.Name, round, b.rounds)
		data := b.fresh()
		f, err := b.ours(ctx, data, datasets)
		if err != nil {
			return err
		}
		c.Ours = append(c.Ours, f)
		if f, err = b.theirs(ctx, []string{b.copyCSV(theirs)}); err != nil {
			return err
		}
		c.Theirs = append(c.Theirs, f)
		if c.Rows, err = sameRows(ctx, data, theirs); err != nil {
			return err
		}
	}
	b.report.Compared = append(b.report.Compared, c)
	return nil
}

// sameRows compares what both sides stored. What DuckDB copied and the contract refuses must be in quarantine.
func sameRows(ctx context.Context, data, theirs string) (int64, error) {
	rows, err := live(data, "rows")
	if err != nil {
		return 0, err
	}
	if err := same(ctx, "stored rows", sums+"read_parquet("+rows+")", sums+"read_parquet('"+theirs+"') WHERE "+contract); err != nil {
		return 0, err
	}
	refused, err := live(data, "quarantine")
	if err != nil {
		return 0, err
	}
	const count = "SELECT count(*)::VARCHAR FROM "
	if err := same(ctx, "refused rows", count+"read_parquet("+refused+")", count+"read_parquet('"+theirs+"') WHERE NOT ("+contract+")"); err != nil {
		return 0, err
	}
	text, err := ask(ctx, count+"read_parquet('"+theirs+"')")
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(text, 10, 64)
}

func progress(name string, round, rounds int) {
	fmt.Fprintf(os.Stderr, "%s: round %d of %d, %s\n", name, round+1, rounds, time.Now().Format(time.TimeOnly))
}

// memory: the peak of sizes that are ten times each other.
func (b *bench) memory(ctx context.Context) error {
	sizes := []float64{0.1, 1}
	if b.thirty {
		sizes = append(sizes, 10)
	}
	for _, size := range sizes {
		files := b.flights
		if size != 1 {
			files = filepath.Join(b.dir, fmt.Sprintf("flights-times-%g", size))
			if err := b.scale(files, size); err != nil {
				return err
			}
		}
		datasets, err := b.dataset(fmt.Sprintf("memory-%g", size), files, true)
		if err != nil {
			return err
		}
		data := b.fresh()
		fmt.Fprintf(os.Stderr, "memory: %g times the rows\n", size)
		f, err := b.ours(ctx, data, datasets)
		if err != nil {
			return err
		}
		rows, err := countOf(data)
		if err != nil {
			return err
		}
		b.report.Memory = append(b.report.Memory, memory{rows, f})
		if size != 1 {
			if err := os.RemoveAll(files); err != nil {
				return err
			}
		}
	}
	return nil
}

func countOf(data string) (rows int64, err error) {
	for _, table := range []string{"rows", "quarantine"} {
		t, err := reader.Open(filepath.Join(data, "warehouse", "flights", table))
		if err != nil {
			return 0, err
		}
		for _, f := range t.Files {
			rows += f.Rows
		}
	}
	return rows, nil
}

// scale writes each day with every tenth of its rows, or with all of them ten times.
func (b *bench) scale(to string, size float64) error {
	return filepath.WalkDir(b.flights, func(name string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		out := filepath.Join(to, strings.TrimPrefix(name, b.flights))
		if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
			return err
		}
		return os.WriteFile(out, scaled(data, size), 0o644)
	})
}

func scaled(data []byte, size float64) []byte {
	header, rest, _ := bytes.Cut(data, []byte("\n"))
	out := bytes.NewBuffer(make([]byte, 0, int(float64(len(data))*size)+1024))
	out.Write(header)
	out.WriteByte('\n')
	if size > 1 {
		out.Write(bytes.Repeat(rest, int(size)))
		return out.Bytes()
	}
	n := 0
	for s := bufio.NewScanner(bytes.NewReader(rest)); s.Scan(); n++ {
		if n%int(1/size) == 0 {
			out.Write(s.Bytes())
			out.WriteByte('\n')
		}
	}
	return out.Bytes()
}
