package snapshot_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/google/go-cmp/cmp"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/duck"
	"github.com/almanac-data/almanac/functions/internal/query"
	"github.com/almanac-data/almanac/functions/internal/snapshot"
	"github.com/almanac-data/almanac/functions/internal/store/layout"
	"github.com/almanac-data/almanac/functions/internal/table"
	"github.com/almanac-data/almanac/functions/internal/window"
)

var (
	weekly = dataset.Query{
		Name: "weekly", Every: window.Week, File: "aggregates/weekly.sql", SQL: "SELECT origin, count(*) AS n FROM rows GROUP BY origin",
		Inputs: []dataset.Input{{Table: "rows"}},
	}
	training = dataset.Query{
		Name: "training", Every: window.Month, File: "releases/training.sql", SQL: "SELECT _window, n FROM weekly", OrderBy: []string{"n"},
		Inputs: []dataset.Input{{Table: "weekly", Back: 24 * time.Hour}}, Provisional: true,
	}
)

func flights() *dataset.Dataset {
	return &dataset.Dataset{
		Name: "flights", Key: []string{"origin"}, Aggregates: []dataset.Query{weekly}, Releases: []dataset.Query{training},
		Columns: []dataset.Column{{Name: "origin", Type: dataset.String}},
		Collect: dataset.Collect{Every: window.Day, Start: time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)},
	}
}

// warehouse has one file for each window that a table's map names.
type warehouse map[string]table.Head

func (w warehouse) Head(_ context.Context, name table.Name) (table.Head, error) {
	return w[name.Table], nil
}

func (w warehouse) Files(_ context.Context, name table.Name, snapshot int64, windows []string) ([]events.File, error) {
	var files []events.File
	for _, key := range windows {
		if snapshot != w[name.Table].Snapshot {
			return nil, errors.New("another snapshot than was pinned")
		}
		files = append(files, events.File{Path: name.Table + "/" + key})
	}
	return files, nil
}

func (w warehouse) URI(path string) string { return "file:///" + path }

// engine remembers what it was asked.
type engine struct {
	*duck.Engine

	asked query.Query
}

func (e *engine) Run(_ context.Context, q query.Query) (array.RecordReader, error) {
	e.asked = q
	return nil, &query.Error{Line: 2, Detail: "mistake"}
}

func open(t *testing.T) *engine {
	t.Helper()
	e, err := duck.Open(duck.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return &engine{Engine: e}
}

func TestThePinnedQuery(t *testing.T) {
	d, e := flights(), open(t)
	w := warehouse{
		"rows":   {Snapshot: 7, Entries: map[string]json.RawMessage{"2001-01-08": []byte(`{}`)}},
		"weekly": {Snapshot: 8, Entries: map[string]json.RawMessage{"2001-W02": []byte(`{}`), "2001-W06": []byte(`{}`)}},
	}
	february, _ := window.Parse("2001-02")
	p, err := new(snapshot.Taker).Take(context.Background(), w, d, training, february)
	if err != nil {
		t.Fatal(err)
	}
	if p.Heads["rows"].Snapshot != 7 || p.Complete() {
		t.Errorf("pinned %v, complete %v: want the rows behind the aggregate too, and weeks absent", p.Heads, p.Complete())
	}
	_, err = p.Run(context.Background(), w, e, nil)
	if err == nil || err.Error() != "flights/releases/training.sql: line 2: mistake" || !errors.Is(err, events.ErrInvalid) {
		t.Errorf("error is %v, want one that names file and line", err)
	}
	want := query.Query{
		Text: training.SQL, Start: february.Start, End: february.End, OrderBy: training.OrderBy,
		Views: []query.View{{
			Name: "weekly", Files: []string{"file:///weekly/2001-W06"}, Column: "_window",
			From: february.Start.Add(-24 * time.Hour), Until: february.End,
		}},
	}
	schema := e.asked.Views[0].Schema
	e.asked.Views[0].Schema = nil
	if diff := cmp.Diff(want, e.asked); diff != "" {
		t.Errorf("query (-want +got):\n%s", diff)
	}
	if got := schema.String(); !strings.Contains(got, "origin: type=utf8") || !strings.Contains(got, "n: type=int64") || !strings.Contains(got, "_window: type=timestamp[us, tz=UTC]") {
		t.Errorf("schema of the aggregate is %s", got)
	}
}

func TestRowsAreSeenByEventTimeAndKey(t *testing.T) {
	d := flights()
	week, _ := window.Parse("2001-W02")
	q, err := snapshot.Bind(context.Background(), open(t), d, weekly, week)
	if err != nil {
		t.Fatal(err)
	}
	if v := q.Views[0]; v.Column != "_event_time" || len(v.Key) != 1 || v.Key[0] != "origin" || v.From != week.Start || v.Until != week.End {
		t.Errorf("view of rows is %+v", v)
	}
	if !snapshot.RowsSchema(d).Equal(layout.Rows(d)) {
		t.Errorf("rows are read as %s but stored as %s", snapshot.RowsSchema(d), layout.Rows(d))
	}
}

func TestMistakesAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(d *dataset.Dataset)
		want   string
	}{
		"an aggregate's text":       {func(d *dataset.Dataset) { d.Aggregates[0].SQL = "SELECT\n nothing FROM rows" }, "flights/aggregates/weekly.sql: line 2: "},
		"the window's own column":   {func(d *dataset.Dataset) { d.Aggregates[0].SQL = "SELECT _window FROM rows" }, "weekly.sql: the result has a column _window"},
		"an input that is not here": {func(d *dataset.Dataset) { d.Releases[0].Inputs = []dataset.Input{{Table: "daily"}} }, `no aggregate "daily"`},
	} {
		d := flights()
		c.change(d)
		w, _ := window.Parse("2001-02")
		_, err := snapshot.Bind(context.Background(), open(t), d, d.Releases[0], w)
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, events.ErrInvalid) {
			t.Errorf("%s: error is %v, want ErrInvalid with %q", name, err, c.want)
		}
	}
}
