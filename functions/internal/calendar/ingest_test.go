package calendar

import (
	"testing"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/facts/factstest"
	"github.com/almanac-data/almanac/functions/internal/window"
)

var (
	day   = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
	piece = events.Piece{Dataset: "flights", Window: "2001-01-01", Generation: 1}
)

// said is an event and the second at which it was said.
type said struct {
	at    int
	event events.Event
}

// one surveys the only window of a dataset, 60 seconds on.
func one(t *testing.T, pace Pace, before []said) State {
	t.Helper()
	var journal factstest.Memory
	for _, s := range before {
		journal.Now = day.Add(time.Duration(s.at) * time.Second)
		if err := journal.Say(t.Context(), s.event); err != nil {
			t.Fatal(err)
		}
	}
	view, err := journal.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d := &dataset.Dataset{Name: "flights", Definition: "new", Collect: dataset.Collect{Every: window.Day, Start: day, End: day.AddDate(0, 0, 1)}}
	states := Survey(d, view, day.AddDate(0, 0, 2), day.Add(time.Minute), pace)
	if len(states) != 1 {
		t.Fatalf("%d states, want 1", len(states))
	}
	return states[0]
}

func TestIngestIsAnnouncedAgain(t *testing.T) {
	due := func(attempt int) events.Due {
		return events.Due{Piece: piece, Step: events.StepCollect, Attempt: attempt, Reason: reasonSchedule}
	}
	waiting := events.Stopped{Piece: piece, Step: events.StepCollect, Waiting: true, Reason: "source_missing"}
	collected := func(definition string) events.Collected {
		return events.Collected{Piece: piece.At(1), Definition: definition, Last: true}
	}
	started := day.Add(50 * time.Second)
	slow := Pace{Grace: time.Hour, Retry: time.Hour, ProbeBefore: started}
	for name, c := range map[string]struct {
		pace    Pace
		before  []said
		phase   Phase
		attempt int // of the due that is announced; 0 for none
	}{
		"a window that nobody asked for":                       {slow, nil, Due, 1},
		"a window that was asked for just now":                 {slow, []said{{55, due(1)}}, Collecting, 0},
		"a window that was asked for long ago":                 {Pace{Grace: 30 * time.Second}, []said{{1, due(1)}}, Collecting, 2},
		"what waits since before the run started":              {slow, []said{{1, due(1)}, {2, waiting}}, Waiting, 2},
		"what waits and was asked for since":                   {slow, []said{{1, due(1)}, {2, waiting}, {51, due(2)}}, Waiting, 0},
		"what still waits after it was asked for":              {slow, []said{{51, due(2)}, {52, waiting}}, Waiting, 0},
		"what waits for longer than the time of a retry":       {Pace{Grace: time.Hour, Retry: 30 * time.Second}, []said{{1, due(1)}, {2, waiting}}, Waiting, 2},
		"what was collected by another definition":             {slow, []said{{1, due(1)}, {2, collected("old")}}, Collecting, 2},
		"what was collected by another, and asked for since":   {slow, []said{{2, collected("old")}, {55, due(2)}}, Collecting, 0},
		"what was collected by this definition, and goes on":   {slow, []said{{1, due(1)}, {55, collected("new")}}, Processing, 0},
		"what stopped by another definition and was collected": {slow, []said{{1, due(1)}, {2, collected("old")}, {3, events.Stopped{Piece: piece, Definition: "old"}}}, Collecting, 2},
	} {
		st := one(t, c.pace, c.before)
		attempt := 0
		for _, e := range st.Say {
			if d, ok := e.(events.Due); ok {
				attempt = d.Attempt
			}
		}
		if st.Phase != c.phase || attempt != c.attempt {
			t.Errorf("%s: phase %s, announced %d; want %s, %d", name, st.Phase, attempt, c.phase, c.attempt)
		}
	}
}
