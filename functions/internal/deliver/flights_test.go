package deliver_test

import (
	"compress/gzip"
	"context"
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/aggregate"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/dataset/folder"
	"github.com/almanac-data/almanac/functions/internal/snapshot/snapshottest"
	"github.com/almanac-data/almanac/functions/internal/window"
)

const home = "../../../spark-jobs/flights"

// flight is one line of the sample that the contract accepts.
type flight struct {
	at              time.Time
	delay, distance int64
	route           [2]string
}

// sample reads one day of the sample, by itself: nothing here shares code with what is tested.
func sample(t *testing.T, day string) []flight {
	t.Helper()
	f, err := os.Open(filepath.Join(home, "sample", day[:7], day+".csv.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(z).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var flights []flight
	for _, r := range records[1:] {
		at, err := time.Parse("2006-01-02 15:04:05", r[0])
		if err != nil {
			t.Fatal(err)
		}
		delay, _ := strconv.ParseInt(r[1], 10, 64)
		distance, _ := strconv.ParseInt(r[2], 10, 64)
		if delay >= -60 && delay <= 1440 {
			flights = append(flights, flight{at, delay, distance, [2]string{r[3], r[4]}})
		}
	}
	return flights
}

// month is a world with January and February of the sample stored, its weeks computed and February released.
func month(t *testing.T) (*snapshottest.World, []flight) {
	t.Helper()
	d, err := folder.Load(home)
	if err != nil {
		t.Fatal(err)
	}
	// One window for each month instead of each day, to spend the time on SQL and not on commits.
	d.Collect.Every = window.Month
	d.Collect.End = time.Date(2001, 3, 1, 0, 0, 0, 0, time.UTC)
	w := snapshottest.New(t, d)
	var all []flight
	for _, m := range window.Between(window.Month, d.Collect.Start, d.Collect.End) {
		b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(block.Schema(d).Fields()[:5], nil))
		defer b.Release()
		for _, day := range window.Between(window.Day, m.Start, m.End) {
			for _, f := range sample(t, day.Key()) {
				b.Field(0).(*array.TimestampBuilder).Append(arrow.Timestamp(f.at.UnixMicro()))
				b.Field(1).(*array.Int64Builder).Append(f.delay)
				b.Field(2).(*array.Int64Builder).Append(f.distance)
				b.Field(3).(*array.StringBuilder).Append(f.route[0])
				b.Field(4).(*array.StringBuilder).Append(f.route[1])
				all = append(all, f)
			}
		}
		batch := b.NewRecordBatch()
		w.Store(t, m.Key(), 1, batch)
		batch.Release()
	}
	a := &aggregate.Aggregate{Journal: w.Journal, Datasets: w, Tables: w.Lake, Writes: w.Lake, Engine: w.Engine}
	for _, q := range d.Aggregates {
		for _, week := range window.Between(window.Week, d.Collect.Start, d.Collect.End) {
			ev := &events.Due{Piece: events.Piece{Dataset: d.Name, Name: q.Name, Window: week.Key()}, Step: events.StepAggregate}
			if err := a.Handle(context.Background(), ev); err != nil {
				t.Fatal(err)
			}
		}
	}
	return w, all
}

// figures are the features of a group of flights, computed anew.
type figures struct {
	flights, late, sum int64
	delays             []int64
}

func (f *figures) add(delay int64) {
	f.flights++
	f.sum += delay
	if delay > 15 {
		f.late++
	}
	f.delays = append(f.delays, delay)
}

// text writes them as a release has them; before are those of the week before.
func (f *figures) text(before *figures) string {
	if f == nil {
		return "null null null null null null"
	}
	n, sum, squares := float64(f.flights), float64(f.sum), 0.0
	for _, d := range f.delays {
		squares += float64(d * d)
	}
	deviation, change := "null", "null"
	if f.flights > 1 {
		deviation = fmt.Sprintf("%.9g", math.Sqrt((n*squares-sum*sum)/(n*(n-1))))
	}
	if before != nil {
		change = fmt.Sprintf("%.9g", sum/n-float64(before.sum)/float64(before.flights))
	}
	slices.Sort(f.delays)
	quantile := f.delays[int(math.Ceil(0.9*n))-1]
	return fmt.Sprintf("%d %.9g %s %.9g %d %s", f.flights, sum/n, deviation, float64(f.late)/n, quantile, change)
}

// past groups what is known on a day, by the Monday of the week and by origin or route. It is given nothing else.
func past(flights []flight, known time.Time) map[string]*figures {
	groups := map[string]*figures{}
	for _, f := range flights {
		if !f.at.Before(known) {
			break // the sample is in order
		}
		monday := window.At(window.Week, f.at).Start.Format(time.DateOnly)
		for _, key := range []string{monday + f.route[0], monday + f.route[0] + f.route[1]} {
			if groups[key] == nil {
				groups[key] = &figures{}
			}
			groups[key].add(f.delay)
		}
	}
	return groups
}

func value(col arrow.Array, i int) string {
	switch c := col.(type) {
	case *array.Float64:
		if c.IsValid(i) {
			return fmt.Sprintf("%.9g", c.Value(i))
		}
		return "null"
	default:
		if c.IsNull(i) {
			return "null"
		}
		return c.ValueStr(i)
	}
}

// TestNoFeatureKnowsItsOwnWeek recomputes every row of February's release from the files of the days before, of which none is
// of the flight's own week or later, nor of the Sunday that on a Monday is not collected yet.
func TestNoFeatureKnowsItsOwnWeek(t *testing.T) {
	w, flights := month(t)
	handle(t, core(w), "2001-02")
	m := manifest(t, w, "training-2001-02.1")
	first := slices.IndexFunc(flights, func(f flight) bool { return f.at.Month() == time.February })
	want := map[string]int{}
	known := map[string]map[string]*figures{}
	for _, f := range flights[first:] {
		day := window.At(window.Day, f.at).Start
		// The last week that ended a day or more before this day began.
		monday := window.At(window.Week, day.AddDate(0, 0, -1)).Start.AddDate(0, 0, -7)
		if known[day.String()] == nil {
			known[day.String()] = past(flights, monday.AddDate(0, 0, 7))
		}
		groups := known[day.String()]
		line := fmt.Sprintf("%s %s %s %d %d %d %d", f.at.Format("2006-01-02T15:04:05Z"), f.route[0], f.route[1], f.distance, f.at.Hour(), (int(f.at.Weekday())+6)%7+1, f.at.Day())
		this, before := monday.Format(time.DateOnly), monday.AddDate(0, 0, -7).Format(time.DateOnly)
		line += " " + monday.Format("2006-01-02T15:04:05Z")
		for _, key := range []string{f.route[0], f.route[0] + f.route[1]} {
			line += " " + groups[this+key].text(groups[before+key])
		}
		split := "train"
		if f.at.Day() > 21 {
			split = "test"
		}
		want[fmt.Sprintf("%s %d %v %s", line, f.delay, f.delay > 15, split)]++
	}
	var got int64
	for _, file := range m.Content.Files {
		r, err := w.Lake.Scan(context.Background(), "releases/flights/"+m.Content.Version+"/"+file.Path)
		if err != nil {
			t.Fatal(err)
		}
		for r.Next() {
			batch := r.RecordBatch()
			for i := range int(batch.NumRows()) {
				parts := make([]string, batch.NumCols())
				for c, col := range batch.Columns() {
					parts[c] = value(col, i)
				}
				line := strings.Join(parts, " ")
				if want[line]--; want[line] < 0 {
					t.Fatalf("row %d is not what the days before tell:\n%s", got, line)
				}
				got++
			}
		}
		if err := r.Err(); err != nil {
			t.Fatal(err)
		}
		_ = r.Close()
	}
	if n := len(flights) - first; got != int64(n) || m.Content.Rows.Total != got {
		t.Errorf("the release has %d rows, February has %d flights", got, n)
	}
	verified(t, w, m.Content.Version)
	if s := m.Content.Rows.Splits; s["train"] == 0 || s["test"] == 0 || len(s) != 2 {
		t.Errorf("splits are %v", s)
	}
}
