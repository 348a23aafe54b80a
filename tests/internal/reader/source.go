package reader

import (
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Source is what the files of a dataset hold: the rows that a table must have, and the records outside the contract.
type Source struct {
	Columns []string
	Rows    Bag
	Refused Bag // the records as they stand in the files
	Read    int
}

// keep decides about one record of a file: the row's values, or that it is outside the contract.
type keep func(file string, record map[string]string) (values []string, ok bool)

// Flights reads the sample of the dataset flights, or any folder of such files. What is outside the contract is decided here again:
// a delay of -60 to 1440 minutes, a distance of 1 to 6000 miles, airports of three capitals, a date within the file's day.
func Flights(dir string) (*Source, error) {
	s := &Source{Columns: []string{"date", "delay", "distance", "origin", "destination"}}
	return s, s.readAll(dir, func(file string, r map[string]string) ([]string, bool) {
		date, err := time.Parse(time.DateTime, r["date"])
		delay, err1 := strconv.ParseInt(r["delay"], 10, 64)
		distance, err2 := strconv.ParseInt(r["distance"], 10, 64)
		ok := errors.Join(err, err1, err2) == nil && delay >= -60 && delay <= 1440 && distance >= 1 && distance <= 6000 &&
			airport(r["origin"]) && airport(r["destination"]) && strings.HasPrefix(file, date.Format(time.DateOnly))
		return []string{strconv.FormatInt(date.UnixMicro(), 10), strconv.FormatInt(delay, 10), strconv.FormatInt(distance, 10), r["origin"], r["destination"]}, ok
	})
}

func airport(code string) bool {
	return len(code) == 3 && strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// Births reads the sample of the dataset births: days of 1969 to 1988, weekdays 1 to 7, births from 0.
func Births(dir string) (*Source, error) {
	s := &Source{Columns: []string{"date", "day_of_week", "births"}}
	return s, s.readAll(dir, func(_ string, r map[string]string) ([]string, bool) {
		date, err := time.Parse(time.DateOnly, r["date"])
		weekday, err1 := strconv.ParseInt(r["day_of_week"], 10, 64)
		births, err2 := strconv.ParseInt(r["births"], 10, 64)
		ok := errors.Join(err, err1, err2) == nil && date.Year() >= 1969 && date.Year() <= 1988 && weekday >= 1 && weekday <= 7 && births >= 0
		return []string{strconv.FormatInt(date.Unix()/86400, 10), strconv.FormatInt(weekday, 10), strconv.FormatInt(births, 10)}, ok
	})
}

func (s *Source) readAll(dir string, keep keep) error {
	s.Rows, s.Refused = Bag{}, Bag{}
	return filepath.WalkDir(dir, func(name string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.Contains(e.Name(), ".csv") {
			return err
		}
		if err := s.readFile(name, keep); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		return nil
	})
}

func (s *Source) readFile(name string, keep keep) (err error) {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var in io.Reader = f
	if strings.HasSuffix(name, ".gz") {
		if in, err = gzip.NewReader(f); err != nil {
			return err
		}
	}
	r := csv.NewReader(in)
	header, err := r.Read()
	if err != nil {
		return err
	}
	for {
		values, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		s.Read++
		record := map[string]string{}
		for i, column := range header {
			record[column] = strings.TrimSpace(values[i])
		}
		if row, ok := keep(filepath.Base(name), record); ok {
			s.Rows[Row(row...)]++
		} else {
			s.Refused[strings.Join(values, ",")]++
		}
	}
}
