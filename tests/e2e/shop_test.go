package e2e

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/almanac-data/almanac/tests/internal/box"
	"github.com/almanac-data/almanac/tests/internal/reader"
)

// shop is a small dataset of two weeks that a test makes, and a data folder for it. That it works shows that adding a dataset is
// adding a folder.
type shop struct {
	box.Box

	dir string // the dataset's folder
}

var firstDay = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC) // a Monday

const shopDays = 14

// newShop makes the folder and its fourteen files.
func newShop(t *testing.T) *shop {
	t.Helper()
	dir := t.TempDir()
	s := &shop{Box: box.Box{Binary: command(t), Datasets: filepath.Join(dir, "datasets"), Data: filepath.Join(dir, "data")}}
	s.dir = filepath.Join(s.Datasets, "shop")
	if err := os.CopyFS(s.dir, os.DirFS(filepath.Join("testdata", "shop"))); err != nil {
		t.Fatal(err)
	}
	for day := 1; day <= shopDays; day++ {
		s.write(t, file(day), csvOf(rowsOf(day)))
	}
	return s
}

// file is the name of a day's file.
func file(day int) string { return "files/" + key(day) + ".csv" }

func key(day int) string { return firstDay.AddDate(0, 0, day-1).Format(time.DateOnly) }

// sale is one row.
type sale struct {
	at    time.Time
	shop  string
	units int64
}

// rowsOf are the sales of a day: one each hour from 8 to 19 in both shops.
func rowsOf(day int) []sale {
	var sales []sale
	for hour := 8; hour < 20; hour++ {
		for i, name := range []string{"north", "south"} {
			at := firstDay.AddDate(0, 0, day-1).Add(time.Duration(hour) * time.Hour)
			sales = append(sales, sale{at, name, int64((day*31 + hour*7 + i*13) % 100)})
		}
	}
	return sales
}

// csvOf is a file with the sales and perhaps other lines.
func csvOf(sales []sale, lines ...string) []byte {
	var b bytes.Buffer
	b.WriteString("at,shop,units\n")
	for _, s := range sales {
		fmt.Fprintf(&b, "%s,%s,%d\n", s.at.Format(time.RFC3339), s.shop, s.units)
	}
	for _, line := range lines {
		b.WriteString(line + "\n")
	}
	return b.Bytes()
}

func packed(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// write puts a file into the dataset's folder, whole or not at all.
func (s *shop) write(t *testing.T, name string, data []byte) {
	t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+"~", data, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+"~", path); err != nil {
		t.Fatal(err)
	}
}

func (s *shop) remove(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(s.dir, name)); err != nil {
		t.Fatal(err)
	}
}

// replace changes a text in a file of the dataset.
func (s *shop) replace(t *testing.T, name, old, text string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), old) {
		t.Fatalf("%s does not hold %q", name, old)
	}
	s.write(t, name, []byte(strings.Replace(string(data), old, text, 1)))
}

// run replays, and must end with the code.
func (s *shop) run(t *testing.T, code int) box.Result {
	t.Helper()
	return run(t, s.Box, code, "run", "--no-serve")
}

// holds checks that the table holds exactly the sales, and that every row of every window is accounted for.
func (s *shop) holds(t *testing.T, sales []sale) {
	t.Helper()
	s.holdsRows(t, sales)
	for _, w := range status(t, s.Box).Windows {
		for day, counts := range w.Sheet {
			if !counts.Balanced() {
				t.Errorf("sheet of %s, %s: %+v does not balance", w.Window, day, counts)
			}
		}
	}
}

// holdsRows checks that the table holds exactly the sales.
func (s *shop) holdsRows(t *testing.T, sales []sale) {
	t.Helper()
	table, err := reader.Open(filepath.Join(s.Data, "warehouse", "shop", "rows"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := table.Rows("at", "shop", "units")
	if err != nil {
		t.Fatal(err)
	}
	want := reader.Bag{}
	for _, one := range sales {
		want[reader.Row(strconv.FormatInt(one.at.UnixMicro(), 10), one.shop, strconv.FormatInt(one.units, 10))]++
	}
	if diff := got.Diff(want); diff != "" {
		t.Errorf("table rows: %s", diff)
	}
}

// finished checks that every window of every step is done, and holds exactly the sales of the days.
func (s *shop) finished(t *testing.T, sales []sale) {
	t.Helper()
	steps := map[string]int{}
	for _, w := range status(t, s.Box).Windows {
		if want := map[string]string{"collect": "stored", "aggregate": "aggregated", "deliver": "released"}[w.Step]; w.Phase != want {
			t.Errorf("%s %s %s is %s (%s), want %s", w.Step, w.Name, w.Window, w.Phase, w.Why, want)
		}
		steps[w.Step]++
	}
	if want := (map[string]int{"collect": shopDays, "aggregate": 2, "deliver": 2}); fmt.Sprint(steps) != fmt.Sprint(want) {
		t.Errorf("windows by step are %v, want %v", steps, want)
	}
	s.holds(t, sales)
	letters, err := s.DeadLetters(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range letters {
		t.Errorf("dead letter: %v", l)
	}
}

// all are the sales of all days, those of some days being others.
func all(other map[int][]sale) []sale {
	var sales []sale
	for day := 1; day <= shopDays; day++ {
		if instead, ok := other[day]; ok {
			sales = append(sales, instead...)
		} else {
			sales = append(sales, rowsOf(day)...)
		}
	}
	return sales
}

// contains checks that a text tells all of the parts.
func contains(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%s should tell %q; it says: %s", what, part, text)
		}
	}
}
