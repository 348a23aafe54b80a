package run

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/calendar"
	"github.com/almanac-data/almanac/functions/internal/command/survey"
)

var began = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// days are collection windows of flights in the given phases, each of 1000 rows read of which one is refused once it is stored.
func days(phases ...calendar.Phase) survey.Dataset {
	s := survey.Dataset{Dataset: "flights"}
	for i, phase := range phases {
		st := calendar.State{Piece: events.Piece{Dataset: "flights", Window: fmt.Sprintf("2001-01-%02d", i+1), Generation: 1}, Step: events.StepCollect, Phase: phase}
		if phase == calendar.Stored {
			st.Sheet = events.Sheet{st.Piece.Window: events.Counts{Read: 1000, Stored: 999, Quarantined: 1}}
		}
		s.States = append(s.States, st)
	}
	return s
}

func released(s survey.Dataset, version string, rows int64) survey.Dataset {
	s.States = append(s.States, calendar.State{
		Piece: events.Piece{Dataset: s.Dataset, Name: "training", Window: "2001-01"}, Step: events.StepDeliver, Phase: calendar.Released, Version: version, Rows: rows,
	})
	return s
}

func TestProgressOnATerminalIsDrawnOverItself(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out, true, 80, began)
	p.show([]survey.Dataset{days(calendar.Stored, calendar.Processing, calendar.Due)}, nil, began)
	first := out.String()
	if !strings.Contains(first, "flights  collect         [######..............]    1/3") || !strings.Contains(first, "2001-01-02 pro") {
		t.Errorf("drew %q", first)
	}
	for line := range strings.Lines(first) {
		if text := strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "\x1b[2K"); len(text) > 80 {
			t.Errorf("line %q is wider than the terminal", text)
		}
	}
	out.Reset()
	p.show([]survey.Dataset{days(calendar.Stored, calendar.Stored, calendar.Stored)}, nil, began.Add(2*time.Second))
	if second := out.String(); !strings.HasPrefix(second, "\x1b[2A") || !strings.Contains(second, "3/3") || !strings.Contains(second, "3,000 rows read, 3 refused  1,000 rows/s") {
		t.Errorf("drew %q: want two lines up, three windows, and the rate of the 2,000 rows since", second)
	}
}

func TestPlainProgressSaysWhatIsNewOnce(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out, false, 0, began)
	at := func(seconds int, s survey.Dataset) string {
		out.Reset()
		p.show([]survey.Dataset{s}, nil, began.Add(time.Duration(seconds)*time.Second))
		return out.String()
	}
	if got := at(0, released(days(calendar.Stored, calendar.Due), "training-2000-12.1", 5)); strings.Contains(got, "released") || !strings.Contains(got, "collect 1/2, training 1/1") {
		t.Errorf("at first: %q, want no word of the release that was there before", got)
	}
	if got := at(1, days(calendar.Stored, calendar.Stored)); got != "" {
		t.Errorf("within two seconds: %q, want nothing", got)
	}
	done := released(released(days(calendar.Stored, calendar.Stored), "training-2000-12.1", 5), "training-2001-01.1", 1998)
	if got := at(3, done); !strings.Contains(got, "flights released training-2001-01.1, 1,998 rows") || !strings.Contains(got, "collect 2/2") {
		t.Errorf("after three seconds: %q", got)
	}
	if got := at(9, done); got != "" {
		t.Errorf("when nothing moved: %q, want nothing", got)
	}
}

func TestBar(t *testing.T) {
	for want, n := range map[string][2]int{"[....................]": {0, 7}, "[##########..........]": {1, 2}, "[####################]": {0, 0}} {
		if got := bar(n[0], n[1]); got != want {
			t.Errorf("bar(%d, %d) = %s, want %s", n[0], n[1], got, want)
		}
	}
}

func TestARunThatOnlyTriesAgainSaysWhy(t *testing.T) {
	const fails = "! aggregate fails (2 times) and is tried again: files of flights.rows: location does not lie within the warehouse"
	var plain, terminal bytes.Buffer
	p := newProgress(&plain, false, 0, began)
	for second := range 40 {
		p.show([]survey.Dataset{days(calendar.Storing)}, []string{fails}, began.Add(time.Duration(second)*time.Second))
	}
	if got := strings.Count(plain.String(), fails); got != 2 {
		t.Errorf("said %d times in 40 s, want twice:\n%s", got, &plain)
	}
	p = newProgress(&terminal, true, 80, began)
	p.show([]survey.Dataset{days(calendar.Storing)}, []string{fails}, began)
	if !strings.Contains(terminal.String(), fails[:70]) {
		t.Errorf("drew %q, want what goes wrong", &terminal)
	}
	terminal.Reset()
	p.show([]survey.Dataset{days(calendar.Stored)}, nil, began)
	if got := terminal.String(); strings.Contains(got, "!") || strings.Count(got, "\n") != 3 {
		t.Errorf("drew %q, want three lines of which the last is empty", got)
	}
}
