package deliver_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/aggregate"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/deliver"
	"github.com/almanac-data/almanac/functions/internal/deliver/release"
	"github.com/almanac-data/almanac/functions/internal/snapshot/snapshottest"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// weekly data and a yearly release keep the number of commits small.
func flights() *dataset.Dataset {
	return &dataset.Dataset{
		Name: "flights", Title: "Flights", Version: "1.0.0", Owner: "team", Definition: "definition",
		Columns: []dataset.Column{{Name: "date", Type: dataset.Timestamp}, {Name: "origin", Type: dataset.String}, {Name: "delay", Type: dataset.Integer}},
		Collect: dataset.Collect{
			Every: window.Month, Start: time.Date(2001, 11, 1, 0, 0, 0, 0, time.UTC), EventTime: "date",
		},
		Aggregates: []dataset.Query{{
			Name: "monthly", Every: window.Month, File: "aggregates/monthly.sql", Inputs: []dataset.Input{{Table: "rows"}},
			SQL: "SELECT origin, CAST(sum(delay) AS BIGINT) AS late FROM rows GROUP BY origin",
		}},
		Releases: []dataset.Query{{
			Name: "training", Every: window.Month, File: "releases/training.sql", Split: "split", OrderBy: []string{"date"},
			Inputs: []dataset.Input{{Table: "rows"}, {Table: "monthly", Back: 40 * 24 * time.Hour}},
			SQL: `SELECT r.date, r.origin, m.late, r.delay, CASE WHEN r.delay > 15 THEN 'test' ELSE 'train' END AS split
FROM rows r LEFT JOIN monthly m ON m.origin = r.origin AND m._window < :start`,
		}},
	}
}

const (
	november = `[{"date": "2001-11-05T10:00:00Z", "origin": "EWR", "delay": 7}, {"date": "2001-11-30T10:00:00Z", "origin": "LGA", "delay": 9}]`
	december = `[{"date": "2001-12-05T10:00:00Z", "origin": "EWR", "delay": 20}, {"date": "2001-12-05T10:00:00Z", "origin": "EWR", "delay": 20},
		{"date": "2001-12-07T10:00:00Z", "origin": "MIA", "delay": 1}, {"date": "2001-12-06T10:00:00Z", "origin": "LGA", "delay": -1}]`
)

func world(t *testing.T) *snapshottest.World {
	t.Helper()
	w := snapshottest.New(t, flights())
	w.StoreJSON(t, "2001-11", 1, november)
	w.StoreJSON(t, "2001-12", 1, december)
	aggregated(t, w)
	return w
}

func aggregated(t *testing.T, w *snapshottest.World, keys ...string) {
	t.Helper()
	a := &aggregate.Aggregate{Journal: w.Journal, Datasets: w, Tables: w.Lake, Writes: w.Lake, Engine: w.Engine}
	for _, key := range append(keys, "2001-11", "2001-12") {
		ev := &events.Due{Piece: events.Piece{Dataset: "flights", Name: "monthly", Window: key}, Step: events.StepAggregate}
		if err := a.Handle(context.Background(), ev); err != nil {
			t.Fatal(err)
		}
	}
}

func core(w *snapshottest.World) *deliver.Deliver {
	return &deliver.Deliver{
		Journal: w.Journal, Datasets: w, Tables: w.Lake, Engine: w.Engine, Files: w.Lake, Folders: w.Lake,
		Now: func() time.Time { return time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC) }, Code: "test",
	}
}

func due(key string) *events.Due {
	return &events.Due{Piece: events.Piece{Dataset: "flights", Name: "training", Window: key}, Step: events.StepDeliver, Attempt: 1, Reason: "schedule"}
}

func handle(t *testing.T, dl *deliver.Deliver, key string) {
	t.Helper()
	if err := dl.Handle(context.Background(), due(key)); err != nil {
		t.Fatalf("Handle(%s) = %v", key, err)
	}
}

func said(w *snapshottest.World) (all []events.Released) {
	for _, e := range w.Journal.Said() {
		if f, ok := e.(events.Released); ok {
			all = append(all, f)
		}
	}
	return all
}

func manifest(t *testing.T, w *snapshottest.World, version string) release.Manifest {
	t.Helper()
	var m release.Manifest
	data, err := os.ReadFile(w.Sub("releases/flights/" + version + "/manifest.json"))
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// tree is what is to be seen of the releases: digests of content, and data files by name.
func tree(t *testing.T, w *snapshottest.World) string {
	t.Helper()
	var out strings.Builder
	root := w.Sub("releases")
	err := filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && strings.HasPrefix(e.Name(), ".tmp-") {
			return fs.SkipDir
		}
		rel, _ := filepath.Rel(root, name)
		switch {
		case e.IsDir():
		case e.Name() == "manifest.json":
			fmt.Fprintln(&out, rel, manifest(t, w, filepath.Base(filepath.Dir(rel))).ContentSHA256)
		default:
			info, _ := e.Info()
			fmt.Fprintln(&out, rel, info.Size())
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return out.String()
}

func verified(t *testing.T, w *snapshottest.World, version string) {
	t.Helper()
	r, err := release.Verify(context.Background(), os.DirFS(w.Sub("releases/flights/"+version)))
	if err != nil || !r.OK() {
		t.Errorf("Verify(%s) = %v, %v", version, r.Problems, err)
	}
}

func TestARelease(t *testing.T) {
	w := world(t)
	handle(t, core(w), "2001-12")
	handle(t, core(w), "2001-12")
	m := manifest(t, w, "training-2001-12.1")
	c := m.Content
	if c.Rows.Total != 4 || c.Rows.Splits["train"] != 2 || c.Rows.Splits["test"] != 2 || len(c.Files) != 2 || len(c.Provisional) != 0 {
		t.Errorf("content is %+v", c)
	}
	want := `{"date":"2001-12-05T10:00:00Z","delay":20,"late":7,"origin":"EWR","split":"test"}
{"date":"2001-12-05T10:00:00Z","delay":20,"late":7,"origin":"EWR","split":"test"}
{"date":"2001-12-06T10:00:00Z","delay":-1,"late":9,"origin":"LGA","split":"train"}
{"date":"2001-12-07T10:00:00Z","delay":1,"late":null,"origin":"MIA","split":"train"}
`
	dir := "releases/flights/training-2001-12.1/"
	if diff := cmp.Diff(want, w.Lines(t, dir+c.Files[0].Path, dir+c.Files[1].Path)); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	columns := []release.Column{
		{Name: "date", Type: "timestamp[us, UTC]", Nullable: true},
		{Name: "origin", Type: "string", Nullable: true},
		{Name: "late", Type: "int64", Nullable: true},
		{Name: "delay", Type: "int64", Nullable: true},
		{Name: "split", Type: "string", Nullable: true},
	}
	if diff := cmp.Diff(columns, c.Schema); diff != "" {
		t.Errorf("schema (-want +got):\n%s", diff)
	}
	if in := c.Inputs; len(in) != 2 || in[0].Table != "rows" || len(in[0].Windows) != 1 || in[0].Windows[0].Sheet["2001-12-05"].Stored != 2 ||
		len(in[1].Windows) != 2 || in[1].Windows[1].Rows != 3 {
		t.Errorf("inputs are %+v", in)
	}
	facts := said(w)
	if len(facts) != 1 || facts[0].Version != "training-2001-12.1" || facts[0].Content != m.ContentSHA256 || facts[0].Rows != 4 || facts[0].Bytes == 0 {
		t.Errorf("said %+v, want one fact", facts)
	}
	if p := m.Provenance; p.Code != "test" || p.Snapshots["rows"] == "" || p.Reason != "schedule" {
		t.Errorf("provenance is %+v", p)
	}
	verified(t, w, "training-2001-12.1")
}

func TestALostFactIsSaidAgain(t *testing.T) {
	w := world(t)
	handle(t, core(w), "2001-12")
	want, before := said(w), tree(t, w)
	again := w.Again()
	handle(t, core(again), "2001-12")
	if diff := cmp.Diff(want, said(again)); diff != "" || tree(t, again) != before {
		t.Errorf("said again (-want +got):\n%s", diff)
	}
}

func TestARestatementMakesTheNextRevision(t *testing.T) {
	w := world(t)
	handle(t, core(w), "2001-12")
	old := tree(t, w)
	w.StoreJSON(t, "2001-11", 2, strings.Replace(november, "7}", "8}", 1))
	handle(t, core(w), "2001-12") // the month's sums are not computed again yet
	if tree(t, w) != old {
		t.Errorf("released from an outdated aggregate: %s", tree(t, w))
	}
	aggregated(t, w)
	ev := due("2001-12")
	ev.Reason, ev.Detail = "inputs", "2001-11 is generation 2 (restated)"
	for range 2 {
		if err := core(w).Handle(context.Background(), ev); err != nil {
			t.Fatal(err)
		}
	}
	if got := tree(t, w); !strings.Contains(got, strings.TrimSpace(strings.Split(old, "\n")[2])) || !strings.Contains(got, "training-2001-12.2/manifest.json") {
		t.Errorf("releases are %s, want the old one as it was (%s) and a new one", got, old)
	}
	var mark release.Stale
	data, err := os.ReadFile(w.Sub("releases/flights/training-2001-12.1.stale.json"))
	if err == nil {
		err = json.Unmarshal(data, &mark)
	}
	want := release.Stale{
		Version: "training-2001-12.1", Cause: ev.Detail, Changed: []string{"monthly 2001-11"}, SupersededBy: "training-2001-12.2",
	}
	if diff := cmp.Diff(want, mark); err != nil || diff != "" {
		t.Errorf("mark: %v (-want +got):\n%s", err, diff)
	}
	if facts := said(w); len(facts) != 2 || facts[1].Revision != 2 {
		t.Errorf("said %+v", facts)
	}
	verified(t, w, "training-2001-12.1") // is as it was
	verified(t, w, "training-2001-12.2")
}

func TestEqualRowsMakeNoRevision(t *testing.T) {
	w := world(t)
	handle(t, core(w), "2001-12")
	before := tree(t, w)
	w.StoreJSON(t, "2001-12", 2, december)
	aggregated(t, w)
	handle(t, core(w), "2001-12")
	if got := tree(t, w); got != before || len(said(w)) != 1 {
		t.Errorf("releases are %s, want %s", got, before)
	}
}

func TestARevisionThatIsNotKeptIsNoGap(t *testing.T) {
	w := world(t)
	handle(t, core(w), "2001-12")
	w.StoreJSON(t, "2001-12", 2, strings.Replace(december, "20}", "30}", 1))
	aggregated(t, w)
	handle(t, core(w), "2001-12")
	if err := os.RemoveAll(w.Sub("releases/flights/training-2001-12.1")); err != nil {
		t.Fatal(err)
	}
	handle(t, core(w), "2001-12")
	if facts := said(w); len(facts) != 2 || w.Exists("releases/flights/training-2001-12.1/manifest.json") || w.Exists("releases/flights/training-2001-12.3") {
		t.Errorf("said %+v, releases are %s", facts, tree(t, w))
	}
}

func TestAnIncompleteMonthWaitsOrIsMarked(t *testing.T) {
	w := world(t)
	w.StoreJSON(t, "2002-01", 1, strings.ReplaceAll(december, "2001-12", "2002-01"))
	handle(t, core(w), "2002-01")
	if facts := said(w); len(facts) != 0 {
		t.Errorf("said %+v of a month whose sums are missing", facts)
	}
	w.D.Releases[0].Provisional = true
	handle(t, core(w), "2002-01")
	m := manifest(t, w, "training-2002-01.1")
	if p := m.Content.Provisional; len(p) != 1 || p[0].String() != "monthly 2002-01 is missing" || !said(w)[0].Provisional {
		t.Errorf("provisional is %v", p)
	}
	aggregated(t, w, "2002-01")
	handle(t, core(w), "2002-01")
	if facts := said(w); len(facts) != 2 || facts[1].Provisional {
		t.Errorf("said %+v, want a complete revision", facts)
	}
	verified(t, w, "training-2002-01.2")
}

func TestMistakesStopTheRelease(t *testing.T) {
	for name, c := range map[string]struct{ sql, want string }{
		"the text":            {"SELECT date,\nsplt FROM rows", "flights/releases/training.sql: line 2: "},
		"the aggregate's":     {"SELECT latte, origin AS split FROM monthly", "flights/releases/training.sql: line 1: "},
		"no split column":     {"SELECT date FROM rows", "names split, which the result does not have"},
		"a split of nulls":    {"SELECT date, CAST(NULL AS VARCHAR) AS split FROM rows", "null in some rows"},
		"a split without end": {"SELECT date, 'v' || i AS split FROM rows, range(1000) AS r(i)", "more than 64 values"},
	} {
		t.Run(name, func(t *testing.T) {
			w := world(t)
			w.D.Releases[0].SQL = c.sql
			handle(t, core(w), "2001-12")
			handle(t, core(w), "2001-12")
			var stops []events.Stopped
			for _, e := range w.Journal.Said() {
				if s, ok := e.(events.Stopped); ok {
					stops = append(stops, s)
				}
			}
			if len(stops) != 1 || !strings.Contains(stops[0].Detail, c.want) || stops[0].Step != events.StepDeliver {
				t.Errorf("said %+v, want one Stopped with %q", stops, c.want)
			}
			if left, _ := filepath.Glob(w.Sub("releases/flights/*")); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// A job may end after the calendar has given the release up, or be what a person has asked for then.
func TestAReleaseThatTheCalendarHasGivenUpIsMade(t *testing.T) {
	w := world(t)
	handle(t, core(w), "2001-12")
	done := said(w)[0]
	for waiting, want := range map[bool]int{true: 1, false: 0} {
		w := world(t)
		stop := events.Stopped{Piece: done.Piece, Step: events.StepDeliver, Inputs: done.Inputs, Waiting: waiting}
		if err := w.Journal.Say(t.Context(), stop); err != nil {
			t.Fatal(err)
		}
		handle(t, core(w), "2001-12")
		if facts := said(w); len(facts) != want {
			t.Errorf("stopped with waiting %t, it says %+v, want %d facts", waiting, facts, want)
		}
	}
}

func TestAFolderInTheWay(t *testing.T) {
	w := world(t)
	if err := os.MkdirAll(w.Sub("releases/flights/training-2001-12.1"), 0o755); err != nil {
		t.Fatal(err)
	}
	err := core(w).Handle(context.Background(), due("2001-12"))
	if err == nil || errors.Is(err, events.ErrInvalid) || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("Handle = %v, want an error that says what to do", err)
	}
}

func TestHandleRefuses(t *testing.T) {
	w := snapshottest.New(t, flights())
	for name, ev := range map[string]events.Event{
		"a tick":                 nil,
		"another step":           &events.Due{Piece: due("2001-12").Piece, Step: events.StepAggregate},
		"another dataset":        &events.Due{Piece: events.Piece{Dataset: "x", Name: "training", Window: "2001-12"}, Step: events.StepDeliver},
		"another release":        &events.Due{Piece: events.Piece{Dataset: "flights", Name: "x", Window: "2001-12"}, Step: events.StepDeliver},
		"a window of no size":    due("soon"),
		"a window of other size": due("2001-W01"),
	} {
		if err := core(w).Handle(context.Background(), ev); !errors.Is(err, events.ErrInvalid) {
			t.Errorf("%s: Handle = %v, want ErrInvalid", name, err)
		}
	}
}
