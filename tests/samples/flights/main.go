// Command flights cuts daily CSV files from the three million flights of the npm package vega-datasets
// (data/flights-3m.parquet).
//
//	flights --mode sample --in flights-3m.parquet --out DIR   every flight of four origins, gzip
//	flights --mode full   --in flights-3m.parquet --out DIR   every flight, plain
//
// It writes DIR/2001-01/2001-01-01.csv[.gz] and so on, and the same bytes whenever it runs.
package main

import (
	"bufio"
	"compress/flate"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/klauspost/compress/gzip"
)

// origins of the sample: busy enough that 95 % of their route-weeks have five flights or more, and between them
// most of the flights whose delay cannot be (down to -1116 and up to 1688 minutes).
const origins = "EWR,HNL,LGA,MIA"

func main() {
	mode := flag.String("mode", "sample", "sample (some origins, gzip) or full (every flight, plain)")
	in := flag.String("in", "flights-3m.parquet", "the Parquet `file`")
	out := flag.String("out", "", "the `folder` to write to")
	some := flag.String("origins", origins, "`airports` of the sample, with commas between them")
	flag.Parse()
	if err := run(*mode, *in, *out, *some); err != nil {
		fmt.Fprintln(os.Stderr, "flights:", err)
		os.Exit(1)
	}
}

func run(mode, in, out, some string) error {
	c := &cut{dir: out}
	switch {
	case out == "":
		return errors.New("--out is missing: name the folder to write to")
	case mode == "sample":
		c.gzip, c.only = true, map[string]bool{}
		for origin := range strings.SplitSeq(some, ",") {
			c.only[origin] = true
		}
	case mode != "full":
		return fmt.Errorf("--mode is %q, want sample or full", mode)
	}
	if err := c.all(context.Background(), in); err != nil {
		return fmt.Errorf("cut %s: %w", in, err)
	}
	fmt.Printf("%d of %d flights (%.2f %%), %d days, %d bytes\n", c.kept, c.read, 100*float64(c.kept)/float64(c.read), c.days, c.bytes)
	if c.gzip {
		weeks, five := c.routeWeeks()
		fmt.Printf("%d route-weeks, %.1f %% with five flights or more\n", weeks, 100*float64(five)/float64(weeks))
	}
	return nil
}

// cut writes flights, which come in the order of their days, to one file a day.
type cut struct {
	dir  string
	gzip bool
	only map[string]bool // origins; nil for all

	day    string
	file   *os.File
	zip    *gzip.Writer
	w      *bufio.Writer
	line   []byte
	weekly map[string]int

	read, kept, days, bytes int64
}

func (c *cut) all(ctx context.Context, path string) error {
	r, err := file.OpenParquetFile(path, false)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	ar, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{BatchSize: 1 << 14}, memory.DefaultAllocator)
	if err != nil {
		return err
	}
	batches, err := ar.GetRecordReader(ctx, nil, nil)
	if err != nil {
		return err
	}
	defer batches.Release()
	for batches.Next() {
		batch := batches.RecordBatch()
		date, ok0 := batch.Column(0).(*array.Timestamp)
		delay, ok1 := batch.Column(1).(*array.Int64)
		distance, ok2 := batch.Column(2).(*array.Int64)
		origin, ok3 := batch.Column(3).(*array.LargeString)
		destination, ok4 := batch.Column(4).(*array.LargeString)
		if !ok0 || !ok1 || !ok2 || !ok3 || !ok4 {
			return fmt.Errorf("columns are %s", batch.Schema())
		}
		for i := range int(batch.NumRows()) {
			at := time.UnixMicro(int64(date.Value(i))).UTC()
			if err := c.flight(at, delay.Value(i), distance.Value(i), origin.Value(i), destination.Value(i)); err != nil {
				return err
			}
		}
	}
	if err := batches.Err(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return c.endDay()
}

func (c *cut) flight(at time.Time, delay, distance int64, origin, destination string) error {
	c.read++
	if c.only != nil && !c.only[origin] {
		return nil
	}
	if day := at.Format(time.DateOnly); day != c.day {
		if day < c.day {
			return fmt.Errorf("flight %d of %s comes after flights of %s: the file is not in order", c.read, day, c.day)
		}
		if err := c.endDay(); err != nil {
			return err
		}
		if err := c.beginDay(day); err != nil {
			return err
		}
	}
	c.kept++
	if c.gzip {
		year, week := at.ISOWeek()
		c.weekly[fmt.Sprint(origin, destination, year, week)]++
	}
	c.line = at.AppendFormat(c.line[:0], "2006-01-02 15:04:05")
	c.line = strconv.AppendInt(append(c.line, ','), delay, 10)
	c.line = strconv.AppendInt(append(c.line, ','), distance, 10)
	c.line = append(append(c.line, ','), origin...)
	c.line = append(append(c.line, ','), destination...)
	_, err := c.w.Write(append(c.line, '\n'))
	return err
}

func (c *cut) beginDay(day string) error {
	if c.weekly == nil {
		c.weekly = map[string]int{}
	}
	name := filepath.Join(c.dir, day[:len("2001-01")], day+".csv")
	if c.gzip {
		name += ".gz"
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	var err error
	if c.file, err = os.Create(name); err != nil {
		return err
	}
	var w io.Writer = c.file
	if c.gzip {
		if c.zip, err = gzip.NewWriterLevel(c.file, flate.BestCompression); err != nil { // no name, no time: same bytes each run
			return err
		}
		w = c.zip
	}
	c.day, c.w = day, bufio.NewWriter(w)
	_, err = c.w.WriteString("date,delay,distance,origin,destination\n")
	return err
}

func (c *cut) endDay() error {
	if c.file == nil {
		return nil
	}
	err := c.w.Flush()
	if c.zip != nil {
		err = errors.Join(err, c.zip.Close())
	}
	if info, statErr := c.file.Stat(); statErr == nil {
		c.bytes += info.Size()
	}
	c.days++
	err = errors.Join(err, c.file.Close())
	c.file = nil
	return err
}

// routeWeeks counts the weeks of all routes, and those of five flights or more.
func (c *cut) routeWeeks() (all, five int) {
	for _, n := range c.weekly {
		if n >= 5 {
			five++
		}
	}
	return len(c.weekly), five
}
