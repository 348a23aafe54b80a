package calendar

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/facts/factstest"
)

// TestAWeekIsGivenUp holds what the calendar says of an aggregate that has been asked for again and again, with its try and attempt.
func TestAWeekIsGivenUp(t *testing.T) {
	d := flights()
	week := query("weekly", "2001-W01")
	now := func(s *story) string { return judged(s.t, d, d.Aggregates[0], "2001-W01", s.view()).Inputs }
	asked := func(s *story, ago time.Duration, attempt, try int, inputs string) {
		s.ago(ago, events.Due{Piece: week, Step: events.StepAggregate, Attempt: attempt, Try: try, Inputs: inputs})
	}
	stop := func(s *story, ago time.Duration, attempt int, inputs string) {
		s.ago(ago, events.Stopped{Piece: week, Step: events.StepAggregate, Attempt: attempt, Inputs: inputs, Waiting: true, Detail: "given up"})
	}
	const hour = time.Hour
	tests := map[string]struct {
		said  func(s *story)
		pace  func(p *Pace)
		edit  func(d *dataset.Dataset)
		phase Phase
		say   string // due <attempt> try <try>, or gives up <attempt>
	}{
		"asked for by one that did not count":   {func(s *story) { asked(s, hour, 40, 0, now(s)) }, nil, nil, Due, "due 41 try 2"},
		"the last try but one":                  {func(s *story) { asked(s, hour, 8, 2, now(s)) }, nil, nil, Due, "due 9 try 3"},
		"the last try, a moment ago":            {func(s *story) { asked(s, time.Minute, 9, 3, now(s)) }, nil, nil, Running, ""},
		"the last try, and nothing came":        {func(s *story) { asked(s, hour, 9, 3, now(s)) }, nil, nil, Running, "gives up 9"},
		"without end":                           {func(s *story) { asked(s, hour, 9, 30, now(s)) }, func(p *Pace) { p.Attempts = 0 }, nil, Due, "due 10 try 31"},
		"the only try":                          {func(s *story) { asked(s, hour, 1, 1, now(s)) }, func(p *Pace) { p.Attempts = 1 }, nil, Running, "gives up 1"},
		"tried often for other rows":            {func(s *story) { asked(s, hour, 9, 3, "other") }, nil, nil, Due, "due 10 try 1"},
		"given up":                              {func(s *story) { asked(s, 2*hour, 9, 3, now(s)); stop(s, hour, 9, now(s)) }, nil, nil, Waiting, ""},
		"given up by one whose clock is behind": {func(s *story) { asked(s, hour, 9, 3, now(s)); stop(s, 2*hour, 9, now(s)) }, nil, nil, Waiting, ""},
		"given up by a deliver of that name": {func(s *story) {
			asked(s, hour, 9, 2, now(s))
			s.ago(0, events.Stopped{Piece: week, Step: "deliver", Attempt: 9, Inputs: now(s), Waiting: true})
		}, nil, nil, Due, "due 10 try 3"},
		"given up for other rows":                    {func(s *story) { asked(s, 2*hour, 9, 3, "other"); stop(s, hour, 9, "other") }, nil, nil, Due, "due 10 try 1"},
		"given up for other rows, and asked for":     {func(s *story) { asked(s, 0, 10, 1, now(s)); stop(s, 0, 9, "other") }, nil, nil, Running, ""},
		"given up, and the rows are those of before": {func(s *story) { stop(s, 2*hour, 9, now(s)); asked(s, hour, 10, 1, "other") }, nil, nil, Due, "due 11 try 1"},
		"given up, and made in parts now": {func(s *story) { asked(s, 2*hour, 9, 3, now(s)); stop(s, hour, 9, now(s)) }, nil,
			func(d *dataset.Dataset) { d.Aggregates[0].PartBy, d.Aggregates[0].PartRows = "ratio", 5 }, Due, "due 10 try 1"},
		"given up, and the SQL has changed": {func(s *story) { asked(s, 2*hour, 9, 3, now(s)); stop(s, hour, 9, now(s)) }, nil,
			func(d *dataset.Dataset) { d.Aggregates[0].SQL = "select 3" }, Due, "due 10 try 1"},
		"given up a day ago":                        {func(s *story) { asked(s, 30*hour, 9, 3, now(s)); stop(s, 25*hour, 9, now(s)) }, func(p *Pace) { p.Recheck = dayLong }, nil, Due, "due 10 try 1"},
		"given up an hour ago":                      {func(s *story) { asked(s, 30*hour, 9, 3, now(s)); stop(s, hour, 9, now(s)) }, func(p *Pace) { p.Recheck = dayLong }, nil, Waiting, ""},
		"given up before the run started":           {func(s *story) { asked(s, hour, 9, 3, now(s)); stop(s, time.Minute, 9, now(s)) }, func(p *Pace) { p.ProbeBefore = noon }, nil, Due, "due 10 try 1"},
		"given up, and asked for by hand":           {func(s *story) { stop(s, 0, 9, now(s)); asked(s, time.Minute, 10, 1, now(s)) }, nil, nil, Running, ""},
		"given up, asked for by hand, nothing came": {func(s *story) { stop(s, 0, 9, now(s)); asked(s, hour, 10, 1, now(s)) }, nil, nil, Due, "due 11 try 2"},
		"given up a second time":                    {func(s *story) { stop(s, 0, 9, now(s)); asked(s, hour, 12, 3, now(s)) }, nil, nil, Running, "gives up 12"},
		"given up, and the job ends after all":      {func(s *story) { asked(s, 2*hour, 9, 3, now(s)); stop(s, hour, 9, now(s)); s.aggregated("2001-W01") }, nil, nil, Aggregated, ""},
		"given up, and a person must mend the SQL": {func(s *story) {
			asked(s, 2*hour, 9, 3, now(s))
			stop(s, hour, 9, now(s))
			s.ago(0, events.Stopped{Piece: week, Step: events.StepAggregate, Inputs: now(s)})
		}, nil, nil, Stopped, ""},
		"the last try, and the one before it has just ended": {func(s *story) {
			other := query("weekly", "2001-W02")
			s.ago(hour, events.Due{Piece: other, Step: events.StepAggregate, Attempt: 1, Inputs: "x"})
			asked(s, hour, 9, 3, now(s))
			s.ago(time.Minute, events.Aggregated{Piece: other, Inputs: "x"})
		}, nil, nil, Running, ""},
		"the last try, and one that was asked for later has just ended": {func(s *story) {
			other := query("weekly", "2001-W02")
			asked(s, hour, 9, 3, now(s))
			s.ago(hour-time.Minute, events.Due{Piece: other, Step: events.StepAggregate, Attempt: 1, Inputs: "x"})
			s.ago(time.Minute, events.Aggregated{Piece: other, Inputs: "x"})
		}, nil, nil, Running, "gives up 9"},
		"the last try, and the one before it ended long ago": {func(s *story) {
			other := query("weekly", "2001-W02")
			s.ago(2*hour, events.Due{Piece: other, Step: events.StepAggregate, Attempt: 1, Inputs: "x"})
			s.ago(hour, events.Aggregated{Piece: other, Inputs: "x"})
			asked(s, hour, 9, 3, now(s))
		}, nil, nil, Running, "gives up 9"},
	}
	for name, tt := range tests {
		s := tell(t).days(1, 7)
		tt.said(s)
		d, p := flights(), pace
		if tt.edit != nil {
			tt.edit(d)
		}
		if tt.pace != nil {
			tt.pace(&p)
		}
		for _, st := range Survey(d, s.view(), start.AddDate(0, 0, 30), noon, p) {
			if st.Piece != week {
				continue
			}
			say := ""
			for _, e := range st.Say {
				switch e := e.(type) {
				case events.Due:
					say += fmt.Sprintf("due %d try %d", e.Attempt, e.Try)
				case events.Stopped:
					say += fmt.Sprintf("gives up %d", e.Attempt)
				}
			}
			if st.Phase != tt.phase || say != tt.say {
				t.Errorf("%s: it is %s (%s) and says %q, want %s and %q", name, st.Phase, st.Why, say, tt.phase, tt.say)
			}
			if want := strings.HasPrefix(tt.say, "gives up") || tt.phase == Waiting; st.GivenUp() != want {
				t.Errorf("%s: GivenUp = %t, want %t", name, st.GivenUp(), want)
			}
		}
	}
}

// buried keeps what is buried, and fails as often as told.
type buried struct {
	letters []events.Event
	detail  string
	fails   int
}

func (b *buried) Bury(_ context.Context, e events.Event, detail string) error {
	if b.fails--; b.fails >= 0 {
		return errors.New("no right to write")
	}
	b.letters, b.detail = append(b.letters, e), detail
	return nil
}

// mute is a journal to which nothing can be said any more.
type mute struct{ *factstest.Memory }

func (mute) Say(context.Context, ...events.Event) error { return errors.New("killed") }

func TestALetterComesBeforeItIsSaidThatAWeekIsGivenUp(t *testing.T) {
	d := flights()
	s := tell(t).days(1, 7)
	inputs := judged(t, d, d.Aggregates[0], "2001-W01", s.view()).Inputs
	last := events.Due{Piece: query("weekly", "2001-W01"), Step: events.StepAggregate, Attempt: 9, Try: 3, Inputs: inputs}
	s.ago(time.Hour, last)
	s.m.Now = noon
	box := &buried{fails: 1}
	held := map[string]events.Entry{}
	for key, f := range facts.LatestStored(s.view(), d.Name) {
		held[key] = f.Entry
	}
	c := calendarOf(s.m, tables{"flights": held, "weekly": {}}, start.Add(9*dayLong), d)
	c.Letters = box
	before := len(s.m.Said())
	said := func() []events.Event { return s.m.Said()[before:] }

	if err := c.Handle(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "no right to write") {
		t.Errorf("Handle = %v, want that a letter cannot be buried", err)
	}
	wantNames(t, "without a letter", said(), "due 2001-01-08/1/0 collect 1 schedule")
	c.Journal = mute{s.m}
	for range 2 {
		if err := c.Handle(t.Context(), nil); err == nil || len(box.letters) != 1 {
			t.Errorf("Handle = %v with %d letters, want that nothing can be said after one letter", err, len(box.letters))
		}
	}
	c = calendarOf(s.m, c.Tables.(tables), start.Add(9*dayLong), d) // killed, and started anew
	c.Letters = box
	if err := c.Handle(t.Context(), nil); err != nil || len(box.letters) != 2 {
		t.Errorf("Handle = %v with %d letters, want the letter once more", err, len(box.letters))
	}
	for _, e := range box.letters {
		if !reflect.DeepEqual(e, last) {
			t.Errorf("the letter is of %+v, want the last due", e)
		}
	}
	stop, _ := facts.Get[events.Stopped](s.view(), last.Piece)
	if want := (events.Stopped{Piece: last.Piece, Step: "aggregate", Inputs: inputs, Attempt: 9, Waiting: true, Reason: "attempts", Detail: box.detail}); stop != want ||
		!strings.Contains(stop.Detail, "attempts without a result: 3, the last asked for at 2026-11-24T11:00:00Z") {
		t.Errorf("it says %+v, want %+v", stop, want)
	}
	if err := c.Handle(t.Context(), nil); err != nil || len(box.letters) != 2 {
		t.Errorf("Handle = %v with %d letters, want no more of them", err, len(box.letters))
	}

	// Another calendar has looked before that was said, and says the same a moment later: asked for by hand meanwhile, it stays so.
	again := last
	again.Attempt, again.Try = 10, 1
	s.ago(0, again, stop)
	for _, st := range Survey(d, s.view(), start.Add(9*dayLong), noon, pace) {
		if st.Piece == last.Piece && st.Phase != Running {
			t.Errorf("asked for by hand, and then given up once more by another calendar, it is %s", st.Phase)
		}
	}
}

func TestAttemptsAreChecked(t *testing.T) {
	for attempts, wrong := range map[int]bool{-1: true, 0: false, 5: false} {
		if err := (Config{Attempts: attempts}).Check(); (err != nil) != wrong || wrong && !strings.Contains(err.Error(), "ALMANAC_ATTEMPTS") {
			t.Errorf("Check of %d attempts = %v", attempts, err)
		}
	}
}

// watchQuery holds that tries with the same inputs are counted and end, that a letter tells of the last one before anything else does, and that
// counting begins anew only after that.
func (m *model) watchQuery(e events.Event) {
	switch e := e.(type) {
	case events.Stopped:
		if !m.letters[attempt(e.Piece, e.Attempt)] {
			m.t.Errorf("%s is given up without a letter", attempt(e.Piece, e.Attempt))
		}
	case events.Due:
		last, _, _ := facts.LatestDue(m.view(), e.Step, e.Piece)
		stop, stopped := facts.Get[events.Stopped](m.view(), e.Piece)
		again := last.Inputs != e.Inputs || stopped && stop.Attempt == last.Attempt
		if e.Attempt != last.Attempt+1 || e.Try > attempts || again != (e.Try == 1) || !again && e.Try != last.Try+1 {
			m.t.Errorf("after %+v (given up: %t) %+v is announced", last, stopped && stop.Attempt == last.Attempt, e)
		}
	}
}

func attempt(p events.Piece, n int) string { return fmt.Sprint(p.Key(), " ", n) }

// Bury keeps what is given up, unless the calendar is killed before.
func (m *model) Bury(_ context.Context, e events.Event, _ string) error {
	if m.sometimes(30) {
		return errKilled
	}
	m.letters[attempt(e.Of(), e.(events.Due).Attempt)] = true
	return nil
}

// ask does what a person does about what is given up.
func (m *model) ask() {
	for _, st := range Survey(m.d, m.view(), start.AddDate(1, 0, 0), m.m.Now, m.pace()) {
		if st.GivenUp() && m.r.IntN(2) == 0 {
			again := st.Asked
			again.Attempt, again.Try, again.Reason = again.Attempt+1, 1, "requested"
			m.say(again)
		}
	}
}
