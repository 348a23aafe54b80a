package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const head = "date,year,month,date_of_month,day_of_week,births\n"

func TestSplitPutsEachDayIntoItsISOWeek(t *testing.T) {
	data := header + "\n1985,12,29,7,1\n1985,12,30,1,2\n1986,1,5,7,3\n1986,1,6,1,4\n"
	weeks, names, err := split([]byte(data), time.Date(1985, 12, 30, 0, 0, 0, 0, time.UTC))
	if err != nil || strings.Join(names, " ") != "1986-W01 1986-W02" {
		t.Fatalf("split = %v, %v", names, err)
	}
	if got, want := string(weeks["1986-W01"]), head+"1985-12-30,1985,12,30,1,2\n1986-01-05,1986,1,5,7,3\n"; got != want {
		t.Errorf("1986-W01 = %q, want %q", got, want)
	}
}

func TestSplitRefusesWhatThePublisherDoesNotHave(t *testing.T) {
	for _, data := range []string{"", "a,b\n", header + "\n1986,2,29,6,1\n", header + "\n1986,1,99,6,1\n", header + "\n1986,1\n", header + "\nx,1,1,1,1\n"} {
		if _, _, err := split([]byte(data), time.Time{}); err == nil {
			t.Errorf("split(%q) says nothing", data)
		}
	}
}

func TestWriteGivesTheSameBytesEachTime(t *testing.T) {
	var files [2][]byte
	for i := range files {
		path := filepath.Join(t.TempDir(), "week.csv.gz")
		if err := write(path, []byte(head)); err != nil {
			t.Fatal(err)
		}
		files[i], _ = os.ReadFile(path)
	}
	if len(files[0]) == 0 || !bytes.Equal(files[0], files[1]) {
		t.Errorf("write gives %x and %x", files[0], files[1])
	}
}

func TestSampleHoldsEachDayOnce(t *testing.T) {
	paths, err := filepath.Glob("../../../spark-jobs/births/sample/*.csv.gz")
	if err != nil || len(paths) != 157 {
		t.Fatalf("the sample has %d files (%v), want 157", len(paths), err)
	}
	next := time.Date(1985, 12, 30, 0, 0, 0, 0, time.UTC)
	for _, path := range paths { // sorted by week
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		unzipped, err := gzip.NewReader(file)
		if err != nil {
			t.Fatal(err)
		}
		if unzipped.Name != "" || !unzipped.ModTime.IsZero() {
			t.Errorf("%s has a name or a time", path)
		}
		text, err := io.ReadAll(unzipped)
		file.Close()
		if err != nil {
			t.Fatal(err)
		}
		for record := range strings.SplitSeq(strings.TrimSpace(strings.TrimPrefix(string(text), head)), "\n") {
			day, rest, _ := strings.Cut(record, ",")
			if date, err := dateOf(rest); err != nil || !date.Equal(next) || day != next.Format(time.DateOnly) {
				t.Fatalf("%s: %s comes where %s should", path, record, next.Format(time.DateOnly))
			}
			next = next.AddDate(0, 0, 1)
		}
	}
	if want := time.Date(1989, 1, 1, 0, 0, 0, 0, time.UTC); !next.Equal(want) {
		t.Errorf("the sample ends before %s, want %s", next, want)
	}
}
