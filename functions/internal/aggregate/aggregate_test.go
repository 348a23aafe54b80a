package aggregate_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/google/go-cmp/cmp"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/aggregate"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/snapshot/snapshottest"
	"github.com/almanac-data/almanac/functions/internal/table"
	"github.com/almanac-data/almanac/functions/internal/window"
)

func flights() *dataset.Dataset {
	return &dataset.Dataset{
		Name:    "flights",
		Columns: []dataset.Column{{Name: "date", Type: dataset.Timestamp}, {Name: "origin", Type: dataset.String}, {Name: "delay", Type: dataset.Integer}},
		Collect: dataset.Collect{Every: window.Week, Start: time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC), EventTime: "date"},
		Aggregates: []dataset.Query{{
			Name: "weekly", Every: window.Week, File: "aggregates/weekly.sql", Inputs: []dataset.Input{{Table: "rows"}},
			SQL: "SELECT origin, count(*) AS flights, CAST(sum(delay) AS BIGINT) AS late FROM rows WHERE date >= :start GROUP BY origin",
		}},
	}
}

// world has two weeks stored, with one flight of EWR a day, late by as many minutes as the day says.
func world(t *testing.T) *snapshottest.World {
	t.Helper()
	w := snapshottest.New(t, flights())
	storeWeek(t, w, 1, 1, 1)
	storeWeek(t, w, 8, 1, 8)
	return w
}

// storeWeek stores the week that begins on a day of January. The flight of that day has a delay of its own.
func storeWeek(t *testing.T, w *snapshottest.World, monday, generation, delay int) {
	t.Helper()
	rows := make([]string, 7)
	for i := range rows {
		late := monday + i
		if i == 0 {
			late = delay
		}
		rows[i] = fmt.Sprintf(`{"date": "2001-01-%02dT10:00:00Z", "origin": "EWR", "delay": %d}`, monday+i, late)
	}
	week := window.At(window.Week, time.Date(2001, 1, monday, 0, 0, 0, 0, time.UTC))
	w.StoreJSON(t, week.Key(), generation, "["+strings.Join(rows, ",")+"]")
}

func core(w *snapshottest.World) *aggregate.Aggregate {
	return &aggregate.Aggregate{Journal: w.Journal, Datasets: w, Tables: w.Lake, Writes: w.Lake, Engine: w.Engine}
}

func due(week string) *events.Due {
	return &events.Due{Piece: events.Piece{Dataset: "flights", Name: "weekly", Window: week}, Step: events.StepAggregate, Attempt: 1}
}

func handle(t *testing.T, a *aggregate.Aggregate, week string) {
	t.Helper()
	if err := a.Handle(context.Background(), due(week)); err != nil {
		t.Fatalf("Handle(%s) = %v", week, err)
	}
}

func said(t *testing.T, w *snapshottest.World) []events.Aggregated {
	t.Helper()
	var all []events.Aggregated
	for _, e := range w.Journal.Said() {
		f, ok := e.(events.Aggregated)
		if !ok {
			t.Fatalf("said %#v, want Aggregated", e)
		}
		all = append(all, f)
	}
	return all
}

func lines(t *testing.T, w *snapshottest.World) string {
	t.Helper()
	var out string
	for _, f := range w.Files(t, "weekly") {
		out += w.Lines(t, f.Path)
	}
	return out
}

const (
	first  = `{"_window":"2001-01-01T00:00:00Z","flights":7,"late":28,"origin":"EWR"}` + "\n"
	second = `{"_window":"2001-01-08T00:00:00Z","flights":7,"late":77,"origin":"EWR"}` + "\n"
)

func TestAWeekIsComputedOnce(t *testing.T) {
	w := world(t)
	handle(t, core(w), "2001-W02")
	handle(t, core(w), "2001-W01")
	handle(t, core(w), "2001-W01")
	if got := lines(t, w); got != first+second {
		t.Errorf("the table holds %s", got)
	}
	facts := said(t, w)
	if len(facts) != 2 || facts[1].Rows != 1 || facts[1].Window != "2001-W01" || len(facts[1].Files) != 1 || facts[1].Snapshot == 0 || facts[1].Provisional {
		t.Errorf("said %+v, want one fact for each week", facts)
	}
}

func TestALostFactIsSaidAgain(t *testing.T) {
	w := world(t)
	handle(t, core(w), "2001-W01")
	want := said(t, w)
	again := w.Again()
	handle(t, core(again), "2001-W01")
	if diff := cmp.Diff(want, said(t, again)); diff != "" {
		t.Errorf("said again (-want +got):\n%s", diff)
	}
}

func TestAnIncompleteWeekWaits(t *testing.T) {
	w := world(t)
	handle(t, core(w), "2001-W03")
	if n := len(said(t, w)); n != 0 || w.Exists("flights/weekly") {
		t.Errorf("said %d facts of a week without rows", n)
	}
	w.D.Aggregates[0].Provisional = true
	handle(t, core(w), "2001-W03")
	storeWeek(t, w, 15, 1, 15)
	handle(t, core(w), "2001-W03")
	if facts := said(t, w); len(facts) != 2 || !facts[0].Provisional || facts[0].Rows != 0 || facts[1].Provisional || facts[1].Rows != 1 {
		t.Errorf("said %+v, want a provisional week, then a complete one", facts)
	}
}

func TestARestatedDayReplacesItsWeek(t *testing.T) {
	w := world(t)
	for _, week := range []string{"2001-W01", "2001-W02"} {
		handle(t, core(w), week)
	}
	storeWeek(t, w, 1, 2, 101)
	storeWeek(t, w, 8, 2, 8) // equal rows
	for _, week := range []string{"2001-W01", "2001-W02"} {
		handle(t, core(w), week)
	}
	if got, want := lines(t, w), strings.Replace(first, "28", "128", 1)+second; got != want {
		t.Errorf("the table holds %s, want %s", got, want)
	}
	if facts := said(t, w); len(facts) != 3 || facts[2].Window != "2001-W01" || facts[2].Inputs == facts[0].Inputs {
		t.Errorf("said %+v, want the first week once more", facts)
	}
}

func TestAWeekWithoutRowsIsAResult(t *testing.T) {
	w := world(t)
	w.D.Aggregates[0].SQL += " HAVING count(*) > 100"
	handle(t, core(w), "2001-W01")
	handle(t, core(w), "2001-W01")
	if facts := said(t, w); len(facts) != 1 || facts[0].Rows != 0 || len(w.Files(t, "weekly")) != 0 {
		t.Errorf("said %+v, want one fact without files", facts)
	}
}

func TestAMistakeStopsTheWeekUntilItIsMended(t *testing.T) {
	w := world(t)
	good := w.D.Aggregates[0].SQL
	w.D.Aggregates[0].SQL = "SELECT\n  orign FROM rows"
	handle(t, core(w), "2001-W01")
	handle(t, core(w), "2001-W01")
	all := w.Journal.Said()
	stopped, ok := all[0].(events.Stopped)
	if !ok || len(all) != 1 || stopped.Reason != "sql" || !strings.HasPrefix(stopped.Detail, "flights/aggregates/weekly.sql: line 2: ") || stopped.Inputs == "" {
		t.Errorf("said %+v, want one Stopped that names file and line", all)
	}
	w.D.Aggregates[0].SQL = good
	handle(t, core(w), "2001-W01")
	if got := lines(t, w); got != first {
		t.Errorf("the table holds %s", got)
	}
}

// A job may end after the calendar has given the week up, or be what a person has asked for then.
func TestAWeekThatTheCalendarHasGivenUpIsComputed(t *testing.T) {
	w := world(t)
	handle(t, core(w), "2001-W01")
	done := said(t, w)[0]
	for waiting, want := range map[bool]int{true: 1, false: 0} {
		w := world(t)
		stop := events.Stopped{Piece: done.Piece, Step: events.StepAggregate, Inputs: done.Inputs, Waiting: waiting}
		if err := w.Journal.Say(t.Context(), stop); err != nil {
			t.Fatal(err)
		}
		handle(t, core(w), "2001-W01")
		facts := 0
		for _, e := range w.Journal.Said() {
			if _, ok := e.(events.Aggregated); ok {
				facts++
			}
		}
		if facts != want {
			t.Errorf("stopped with waiting %t, it says %d facts, want %d", waiting, facts, want)
		}
	}
}

func TestAWeekInPartsIsTheSame(t *testing.T) {
	result := func(rows int64) events.Aggregated {
		w := world(t)
		q := &w.D.Aggregates[0]
		q.SQL, q.OrderBy = "SELECT delay, count(*) AS n FROM rows GROUP BY delay", []string{"delay"}
		if rows > 0 {
			q.PartBy, q.PartRows = "delay", rows
		}
		handle(t, core(w), "2001-W01")
		return said(t, w)[0]
	}
	whole := result(0)
	if whole.Rows < 5 {
		t.Fatalf("the week has only %d rows", whole.Rows)
	}
	for _, rows := range []int64{1, 2, 100} {
		if got := result(rows); got.Digest != whole.Digest || got.Rows != whole.Rows || got.Inputs != whole.Inputs {
			t.Errorf("in parts of %d rows it is %+v, want the files of %+v", rows, got, whole)
		}
	}
}

func TestHandleRefuses(t *testing.T) {
	a := core(world(t))
	for name, ev := range map[string]events.Event{
		"a tick":                 nil,
		"another step":           &events.Due{Piece: due("2001-W01").Piece, Step: events.StepDeliver},
		"another dataset":        &events.Due{Piece: events.Piece{Dataset: "x", Name: "weekly", Window: "2001-W01"}, Step: events.StepAggregate},
		"another aggregate":      &events.Due{Piece: events.Piece{Dataset: "flights", Name: "x", Window: "2001-W01"}, Step: events.StepAggregate},
		"a window of no size":    due("soon"),
		"a window of other size": due("2001-01"),
	} {
		if err := a.Handle(context.Background(), ev); !errors.Is(err, events.ErrInvalid) {
			t.Errorf("%s: Handle = %v, want ErrInvalid", name, err)
		}
	}
}

// between runs a function once, before the n-th commit.
type between struct {
	aggregate.Writes

	do   func()
	once sync.Once
}

func (b *between) Replace(ctx context.Context, r table.Replace) (int64, error) {
	b.once.Do(b.do)
	return b.Writes.Replace(ctx, r)
}

func TestWhatIsOutdatedWhileItIsComputedIsNotCommitted(t *testing.T) {
	w := world(t)
	a := core(w)
	a.Writes = &between{Writes: w.Lake, do: func() { // another instance is quicker, after a restatement
		storeWeek(t, w, 1, 2, 101)
		handle(t, core(w), "2001-W01")
	}}
	handle(t, a, "2001-W01")
	if got, want := lines(t, w), strings.Replace(first, "28", "128", 1); got != want {
		t.Errorf("the table holds %s, want %s", got, want)
	}
	if facts := said(t, w); len(facts) != 1 {
		t.Errorf("said %d facts, want that of the quicker one", len(facts))
	}
}

// moving restates a day while the result is written.
type moving struct {
	aggregate.Writes

	do   func()
	once sync.Once
}

func (m *moving) Parquet(ctx context.Context, dir string, schema *arrow.Schema) table.Writer {
	m.once.Do(m.do)
	return m.Writes.Parquet(ctx, dir, schema)
}

func TestInputsThatMoveAreJudgedAgain(t *testing.T) {
	w := world(t)
	a := core(w)
	a.Writes = &moving{Writes: w.Lake, do: func() { storeWeek(t, w, 1, 2, 101) }}
	handle(t, a, "2001-W01")
	if got, want := lines(t, w), strings.Replace(first, "28", "128", 1); got != want {
		t.Errorf("the table holds %s, want %s", got, want)
	}
}

func TestTwoInstancesAtOnce(t *testing.T) {
	w := world(t)
	errs := make(chan error, 2)
	for range 2 {
		go func() { errs <- core(w).Handle(context.Background(), due("2001-W01")) }()
	}
	if err := errors.Join(<-errs, <-errs); err != nil {
		t.Fatal(err)
	}
	if got := lines(t, w); got != first {
		t.Errorf("the table holds %s", got)
	}
}
