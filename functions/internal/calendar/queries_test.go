package calendar

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/facts/factstest"
	"github.com/almanac-data/almanac/functions/internal/lineage"
	"github.com/almanac-data/almanac/functions/internal/table"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// days says that days of January 2001 are stored, first to last, as generation 1.
func (s *story) days(first, last int) *story {
	for day := first; day <= last; day++ {
		key := window.DayKey(start.AddDate(0, 0, day-1))
		s.ago(time.Hour, stored(piece(key, 1), "d1", "c"+key))
	}
	return s
}

// aggregated says that a week is aggregated from what is stored now.
func (s *story) aggregated(week string) *story {
	d := flights()
	inputs := judged(s.t, d, d.Aggregates[0], week, s.view()).Inputs
	return s.ago(time.Hour, events.Aggregated{Piece: query("weekly", week), Inputs: inputs, Digest: inputs, Rows: 5})
}

func (s *story) released(week string) *story {
	d := flights()
	inputs := judged(s.t, d, d.Releases[0], week, s.view()).Inputs
	return s.ago(time.Hour, events.Released{Piece: query("training", week), Inputs: inputs, Version: "training-" + week + ".1", Revision: 1, Rows: 9})
}

func query(name, week string) events.Piece {
	return events.Piece{Dataset: "flights", Name: name, Window: week}
}

func TestQueries(t *testing.T) {
	d := flights()
	dueWeek := func(s *story, ago time.Duration, attempt int, inputs string) {
		s.ago(ago, events.Due{Piece: query("weekly", "2001-W01"), Step: events.StepAggregate, Attempt: attempt, Inputs: inputs})
	}
	now := func(s *story) string { return judged(s.t, d, d.Aggregates[0], "2001-W01", s.view()).Inputs }
	const week, release = "due weekly 2001-W01/0/0 aggregate", "due training 2001-W01/0/0 deliver"
	type want struct {
		aggregate, release Phase // of the first week
		say                []string
		why                string // of the aggregate
	}
	tests := map[string]struct {
		said func(s *story)
		edit func(d *dataset.Dataset)
		want want
	}{
		"a week without its last day": {
			func(s *story) { s.days(1, 6) }, nil, want{Blocked, Blocked, nil, "rows 2001-01-07 is missing"}},
		"a week without most days": {
			func(s *story) { s.days(7, 7) }, nil, want{Blocked, Blocked, nil, "rows 2001-01-01 is missing, rows 2001-01-02 is missing, rows 2001-01-03 is missing, and 3 more"}},
		"a week with all days": {func(s *story) { s.days(1, 7) }, nil, want{Due, Blocked, []string{week + " 1 schedule"}, ""}},
		"a week with all days, and late rows may come a day later": {
			func(s *story) { s.days(1, 7) }, func(d *dataset.Dataset) { d.Collect.Lateness = dayLong }, want{Blocked, Blocked, nil, "rows 2001-01-08 is missing"}},
		"announced a moment ago": {func(s *story) { s.days(1, 7); dueWeek(s, time.Minute, 1, now(s)) }, nil, want{Running, Blocked, nil, ""}},
		"announced, and nothing came": {
			func(s *story) { s.days(1, 7); dueWeek(s, 10*time.Minute, 1, now(s)) }, nil, want{Due, Blocked, []string{week + " 2 schedule"}, ""}},
		"announced for other rows": {
			func(s *story) { s.days(1, 7); dueWeek(s, time.Minute, 3, "other") }, nil, want{Due, Blocked, []string{week + " 4 schedule"}, ""}},
		"aggregated": {func(s *story) { s.days(1, 7).aggregated("2001-W01") }, nil, want{Aggregated, Due, []string{release + " 1 schedule"}, ""}},
		"aggregated, and the SQL has changed": {
			func(s *story) { s.days(1, 7).aggregated("2001-W01") }, func(d *dataset.Dataset) { d.Aggregates[0].SQL = "select 3" },
			want{Due, Blocked, []string{week + " 1 inputs"}, ""}},
		"released": {func(s *story) { s.days(1, 7).aggregated("2001-W01").released("2001-W01") }, nil, want{Aggregated, Released, nil, ""}},
		"released, and a day is being collected again": {
			func(s *story) {
				s.days(1, 7).aggregated("2001-W01").released("2001-W01").ago(0, events.Restated{Piece: piece(today, 1)}, due(today, 2, 1, "restated"))
			}, nil, want{Blocked, Blocked, nil, "rows 2001-01-01 is missing"}},
		"released, and a day is stored anew": {
			func(s *story) {
				s.days(1, 7).aggregated("2001-W01").released("2001-W01").ago(0, events.Restated{Piece: piece(today, 1)}, stored(piece(today, 2), "d1", "new"))
			}, nil, want{Due, Blocked, []string{week + " 1 inputs"}, ""}},
		"released, and a day is stored anew with equal rows": {
			func(s *story) {
				s.days(1, 7).aggregated("2001-W01").released("2001-W01").ago(0, stored(piece(today, 2), "d1", "c"+today))
			}, nil, want{Aggregated, Released, nil, ""}},
		"released, and the week is aggregated anew": {
			func(s *story) {
				s.days(1, 7).aggregated("2001-W01").released("2001-W01").ago(0, stored(piece(today, 2), "d1", "new")).aggregated("2001-W01")
			}, nil, want{Aggregated, Due, []string{release + " 1 inputs"}, ""}},
		"released, and a day of another week is stored anew": {
			func(s *story) {
				s.days(1, 8).aggregated("2001-W01").released("2001-W01").ago(0, stored(piece("2001-01-08", 2), "d1", "new"))
			}, nil, want{Aggregated, Released, nil, ""}},
		"released, and a day waits for its file anew": {
			func(s *story) {
				s.days(1, 7).aggregated("2001-W01").released("2001-W01").ago(0, events.Restated{Piece: piece(today, 1)}, due(today, 2, 1, "restated"),
					events.Stopped{Piece: piece(today, 2), Step: "collect", Definition: "d1", Waiting: true})
			}, nil, want{Aggregated, Released, nil, ""}},
		"the SQL fails": {
			func(s *story) {
				s.days(1, 7)
				s.ago(time.Hour, events.Stopped{Piece: query("weekly", "2001-W01"), Step: events.StepAggregate, Inputs: now(s), Detail: "no such column"})
			}, nil, want{Stopped, Blocked, nil, "no such column"}},
		"the SQL of a release of that name fails": {
			func(s *story) {
				s.days(1, 7)
				s.ago(time.Hour, events.Stopped{Piece: query("weekly", "2001-W01"), Step: events.StepDeliver, Inputs: now(s), Detail: "no such column"})
			}, nil, want{Due, Blocked, []string{week + " 1 schedule"}, ""}},
		"the SQL failed, and was mended": {
			func(s *story) {
				s.days(1, 7)
				s.ago(time.Hour, events.Stopped{Piece: query("weekly", "2001-W01"), Step: events.StepAggregate, Inputs: now(s), Detail: "no such column"})
			}, func(d *dataset.Dataset) { d.Aggregates[0].SQL = "select 3" }, want{Due, Blocked, []string{week + " 1 schedule"}, ""}},
		"parts failed, and the week is computed as a whole now": {
			func(s *story) {
				s.days(1, 7)
				q := dataset.Query{PartBy: "ratio", PartRows: 5}
				s.ago(time.Hour, events.Stopped{Piece: query("weekly", "2001-W01"), Step: events.StepAggregate, Inputs: lineage.Attempt(q, now(s)), Detail: "a double"})
			}, nil, want{Due, Blocked, []string{week + " 1 schedule"}, ""}},
		"the parts fail": {
			func(s *story) {
				s.days(1, 7)
				q := dataset.Query{PartBy: "ratio", PartRows: 5}
				s.ago(time.Hour, events.Stopped{Piece: query("weekly", "2001-W01"), Step: events.StepAggregate, Inputs: lineage.Attempt(q, now(s)), Detail: "a double"})
			}, func(d *dataset.Dataset) { d.Aggregates[0].PartBy, d.Aggregates[0].PartRows = "ratio", 5 }, want{Stopped, Blocked, nil, "a double"}},
		"an incomplete week may be released": {
			func(s *story) { s.days(1, 3) }, func(d *dataset.Dataset) { d.Releases[0].Provisional = true },
			want{Blocked, Due, []string{release + " 1 schedule"}, "rows 2001-01-04 is missing, rows 2001-01-05 is missing, rows 2001-01-06 is missing, and 1 more"}},
		"an input that is not there": {
			func(s *story) { s.days(1, 7) }, func(d *dataset.Dataset) { d.Aggregates[0].Inputs = []dataset.Input{{Table: "x"}} }, want{Stopped, Blocked, nil, "x"}},
	}
	for name, tt := range tests {
		s := tell(t)
		tt.said(s)
		d := flights()
		if tt.edit != nil {
			tt.edit(d)
		}
		var say []events.Event
		for _, st := range Survey(d, s.view(), start.AddDate(0, 0, 30), noon, pace) {
			switch {
			case st.Piece.Window != "2001-W01":
				continue
			case st.Step == events.StepAggregate:
				if st.Phase != tt.want.aggregate || !strings.Contains(st.Why, tt.want.why) || tt.want.why == "" && st.Why != "" {
					t.Errorf("%s: the aggregate is %s (%s), want %s (%s)", name, st.Phase, st.Why, tt.want.aggregate, tt.want.why)
				}
			case st.Phase != tt.want.release:
				t.Errorf("%s: the release is %s (%s), want %s", name, st.Phase, st.Why, tt.want.release)
			}
			say = append(say, st.Say...)
		}
		wantNames(t, name, say, tt.want.say...)
		s.ago(0, say...)
		for _, st := range Survey(d, s.view(), start.AddDate(0, 0, 30), noon, pace) {
			if st.Piece.Window == "2001-W01" && len(st.Say) > 0 {
				t.Errorf("%s: a second tick says %q again", name, names(st.Say))
			}
		}
	}
}

func TestAReleaseIsNotDueBeforeTheWeekItNeeds(t *testing.T) {
	s := tell(t).days(1, 14).aggregated("2001-W02")
	for _, st := range Survey(flights(), s.view(), start.AddDate(0, 0, 30), noon, pace) {
		if st.Step == events.StepDeliver && st.Phase != Blocked {
			t.Errorf("the release of %s is %s, though the first week is not aggregated", st.Piece.Window, st.Phase)
		}
	}
}

func TestTheCauseIsTold(t *testing.T) {
	s := tell(t).days(1, 7).aggregated("2001-W01")
	again := stored(piece(today, 2), "d1", "new")
	again.Entry.Reason = "restated"
	s.ago(0, again)
	for _, st := range Survey(flights(), s.view(), start.AddDate(0, 0, 30), noon, pace) {
		if st.Step == events.StepAggregate && st.Piece.Window == "2001-W01" {
			if got, want := st.Say[0].(events.Due).Detail, "2001-01-01 is generation 2 (restated)"; got != want {
				t.Errorf("the cause is %q, want %q", got, want)
			}
		}
	}
}

// calendarOf is a calendar over what was said, at a time.
func calendarOf(m *factstest.Memory, tabs tables, now time.Time, all ...*dataset.Dataset) *Calendar {
	return &Calendar{Journal: m, Datasets: catalog(all), Tables: tabs, Now: func() time.Time { return now }, Wall: func() time.Time { return m.Now }, Pace: pace}
}

func TestATickSaysWhatATableHoldsAndNoFactTells(t *testing.T) {
	entry := func(key string, generation int) events.Entry {
		e := stored(piece(key, generation), "d1", "a").Entry
		return e
	}
	s := tell(t).ago(0, stored(piece("2001-01-02", 1), "d1", "a"), stored(piece("2001-01-03", 1), "d1", "a"))
	tabs := tables{"flights": {today: entry(today, 3), "2001-01-02": entry("2001-01-02", 1), "2001-01-03": entry("2001-01-03", 2)}}
	c := calendarOf(s.m, tabs, start.Add(-dayLong), flights())
	before := len(s.m.Said())
	if err := c.Handle(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	wantNames(t, "a tick", s.m.Said()[before:], "stored 2001-01-01/3/0", "stored 2001-01-03/2/0")
	f, _ := facts.Get[events.Stored](s.view(), piece(today, 3))
	if want := (events.Stored{Piece: piece(today, 3), Entry: entry(today, 3), Snapshot: 7}); !reflect.DeepEqual(f, want) {
		t.Errorf("it says %+v, want %+v", f, want)
	}
	before = len(s.m.Said())
	if err := c.Handle(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	wantNames(t, "the next tick", s.m.Said()[before:])
}

func TestATableThatIsWrongHoldsUpNoOtherDataset(t *testing.T) {
	births := flights()
	births.Name = "births"
	s := tell(t)
	held := tables{"flights": {today: stored(piece(today, 1), "d1", "a").Entry}}
	c := calendarOf(s.m, held, start.Add(54*time.Hour), births, flights())
	if err := c.Handle(context.Background(), nil); !errors.Is(err, table.ErrNoMap) {
		t.Errorf("Handle = %v, want the error of the table", err)
	}
	var say []events.Event
	for _, e := range s.m.Said() {
		if e.Of().Dataset == "flights" {
			say = append(say, e)
		}
	}
	wantNames(t, "of the dataset whose table is right", say, "stored 2001-01-01/1/0", "due 2001-01-02/1/0 collect 1 schedule")

	s = tell(t).ago(0, stored(piece(today, 1), "d1", "a"))
	c = calendarOf(s.m, tables{"flights": nil}, start.Add(30*time.Hour), flights())
	if err := c.Handle(context.Background(), nil); err == nil || !strings.Contains(err.Error(), "flights is said to have 1 windows (2001-01-01, ...)") {
		t.Errorf("Handle = %v, want an error that names the window that the table does not hold", err)
	}
	if len(s.m.Said()) != 1 {
		t.Errorf("it says %q about a table that may be of another warehouse", names(s.m.Said()))
	}

	s = tell(t).ago(0, stored(piece(today, 2), "d1", "b"))
	c = calendarOf(s.m, tables{"flights": {today: stored(piece(today, 1), "d1", "a").Entry}}, start.Add(30*time.Hour), flights())
	if err := c.Handle(context.Background(), nil); !errors.Is(err, table.ErrLost) || !strings.Contains(err.Error(), "2001-01-01 of generation 2") {
		t.Errorf("Handle = %v, want an error that names the generation that was rolled back", err)
	}
	if len(s.m.Said()) != 1 {
		t.Errorf("it says %q about a table that was rolled back", names(s.m.Said()))
	}
}

func TestAnEventWakesItsDatasetAlone(t *testing.T) {
	births := flights()
	births.Name = "births"
	s := tell(t)
	c := calendarOf(s.m, nil, start.Add(30*time.Hour), births, flights())
	ev := stored(piece(today, 9), "d1", "forged")
	if err := c.Handle(context.Background(), &ev); err != nil {
		t.Fatal(err)
	}
	wantNames(t, "woken", s.m.Said(), "due 2001-01-01/1/0 collect 1 schedule")
	if err := c.Handle(context.Background(), &ev); err != nil || len(s.m.Said()) != 1 {
		t.Errorf("woken again by the same event it says %q, %v", names(s.m.Said()[1:]), err)
	}
}
