package calendar

import (
	"context"
	"encoding/json"
	"fmt"
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

var (
	start = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC) // a Monday
	noon  = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	pace  = Pace{Grace: 10 * time.Minute, Retry: time.Hour, Parallel: 100, Attempts: 3}
)

const dayLong = 24 * time.Hour

// flights has days, an aggregate of weeks, and a release of weeks that needs the week before.
func flights() *dataset.Dataset {
	return &dataset.Dataset{
		Name: "flights", Definition: "d1",
		Collect:    dataset.Collect{Every: window.Day, Delay: 6 * time.Hour, Start: start, End: start.Add(14 * dayLong), EventTime: "date"},
		Aggregates: []dataset.Query{{Name: "weekly", Every: window.Week, Delay: time.Hour, SQL: "select 1", Inputs: []dataset.Input{{Table: "rows"}}}},
		Releases: []dataset.Query{{Name: "training", Every: window.Week, Delay: time.Hour, SQL: "select 2",
			Inputs: []dataset.Input{{Table: "rows"}, {Table: "weekly", Back: 7 * dayLong}}}},
	}
}

func piece(key string, generation int) events.Piece {
	return events.Piece{Dataset: "flights", Window: key, Generation: generation}
}

const today = "2001-01-01"

// story is what was said, and when.
type story struct {
	t testing.TB
	m *factstest.Memory
}

func tell(t testing.TB) *story { return &story{t, &factstest.Memory{Now: noon}} }

// ago says events as they were said that long before noon.
func (s *story) ago(d time.Duration, evs ...events.Event) *story {
	s.t.Helper()
	s.m.Now = noon.Add(-d)
	if err := s.m.Say(context.Background(), evs...); err != nil {
		s.t.Fatal(err)
	}
	return s
}

func (s *story) view() *facts.View {
	v, err := s.m.View(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	if v.Refused() > 0 {
		s.t.Fatalf("%d events of the story are refused", v.Refused())
	}
	return v
}

func due(key string, generation, attempt int, reason string) events.Due {
	return events.Due{Piece: piece(key, generation), Step: events.StepCollect, Attempt: attempt, Reason: reason}
}

func pin(content string) events.Pin {
	return events.Pin{Files: []events.PinnedFile{{URI: "a.csv", Digest: content}}}
}

// chain is what ingest says of a generation of two slices: collected, processed, validated and staged of each.
type chain struct {
	collected [2]events.Collected
	processed [2]events.Processed
	validated [2]events.Validated
	staged    [2]events.Staged
}

func chainOf(p events.Piece, definition, content string) chain {
	var c chain
	for i := range 2 {
		at := p.At(i + 1)
		f := events.Collected{Piece: at, Definition: definition, Inputs: pin(content).Content(), Pin: pin(content), Last: i == 1,
			To: events.Position{Offset: int64(i + 1)}, Raw: events.Claim{Digest: content + at.Key()}}
		if i > 0 {
			f.Inputs, f.From = c.collected[0].Digest(), c.collected[0].To
		}
		c.collected[i] = f
		c.processed[i] = events.Processed{Piece: at, Definition: definition, Inputs: f.Digest()}
		c.validated[i] = events.Validated{Piece: at, Definition: definition, Inputs: c.processed[i].Digest()}
		c.staged[i] = events.Staged{Piece: at, Definition: definition, Inputs: c.validated[i].Digest(), Last: f.Last}
	}
	return c
}

func stored(p events.Piece, definition, content string) events.Stored {
	w, err := window.Parse(p.Window)
	if err != nil {
		panic(err)
	}
	return events.Stored{Piece: p, Snapshot: 1, Entry: events.Entry{Generation: p.Generation, Definition: definition, Digest: content, Slices: 2, Pin: pin(content),
		Sheet: events.Sheet{window.DayKey(w.Start): {Read: 1, Stored: 1, Hash: content}}}}
}

// names tells what events are, for comparison.
func names(evs []events.Event) []string {
	all := []string{}
	for _, e := range evs {
		name := fmt.Sprintf("%s %s/%d/%d", strings.TrimSuffix(strings.TrimPrefix(e.Type(), "dev.almanac."), ".v1"), e.Of().Window, e.Of().Generation, e.Of().Slice)
		if e.Of().Name != "" {
			name = strings.Replace(name, " ", " "+e.Of().Name+" ", 1)
		}
		if d, ok := e.(events.Due); ok {
			name += fmt.Sprintf(" %s %d %s", d.Step, d.Attempt, d.Reason)
		}
		all = append(all, name)
	}
	return all
}

// tables is what the rows tables hold.
type tables map[string]map[string]events.Entry

func (t tables) Head(_ context.Context, name table.Name) (table.Head, error) {
	head := table.Head{Snapshot: 7, Entries: map[string]json.RawMessage{}}
	entries, ok := t[name.Dataset]
	if !ok {
		return head, fmt.Errorf("%w: %s", table.ErrNoMap, name)
	}
	for key, entry := range entries {
		raw, err := json.Marshal(entry)
		if err != nil {
			return head, err
		}
		head.Entries[key] = raw
	}
	return head, nil
}

type catalog []*dataset.Dataset

func (c catalog) Datasets() ([]*dataset.Dataset, error) { return c, nil }

// judged is the signature of the inputs of a query where each window of rows is stored as told.
func judged(t testing.TB, d *dataset.Dataset, q dataset.Query, key string, v *facts.View) lineage.Verdict {
	t.Helper()
	w, err := window.Parse(key)
	if err != nil {
		t.Fatal(err)
	}
	verdict, err := lineage.Judge(d, q, w, known(v, d.Name, facts.LatestStored(v, d.Name), nil))
	if err != nil {
		t.Fatal(err)
	}
	return verdict
}

func wantNames(t testing.TB, what string, got []events.Event, want ...string) {
	t.Helper()
	if want == nil {
		want = []string{}
	}
	if !reflect.DeepEqual(names(got), want) {
		t.Errorf("%s: it says %q, want %q", what, names(got), want)
	}
}
