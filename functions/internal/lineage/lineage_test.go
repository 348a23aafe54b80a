package lineage_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/lineage"
	"github.com/almanac-data/almanac/functions/internal/table"
	"github.com/almanac-data/almanac/functions/internal/window"
)

const day = 24 * time.Hour

var (
	weekly   = dataset.Query{Name: "weekly", Every: window.Week, SQL: "SELECT 1", Inputs: []dataset.Input{{Table: "rows", Back: 7 * day}}}
	training = dataset.Query{
		Name: "training", Every: window.Month, SQL: "SELECT 2",
		Inputs: []dataset.Input{{Table: "rows"}, {Table: "weekly", Back: 14 * day}},
	}
)

func flights() *dataset.Dataset {
	return &dataset.Dataset{
		Name:       "flights",
		Collect:    dataset.Collect{Every: window.Day, Start: date("2001-01-01"), End: date("2001-07-01")},
		Aggregates: []dataset.Query{weekly},
		Releases:   []dataset.Query{training},
	}
}

func date(s string) time.Time {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(err)
	}
	return t
}

func parse(t *testing.T, key string) window.Window {
	t.Helper()
	w, err := window.Parse(key)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// stored knows every day of [from, until) with one hash each.
func stored(from, until string) lineage.Known {
	k := lineage.Known{Rows: map[string]events.Entry{}, Aggregates: map[string]map[string]lineage.AggregateEntry{"weekly": {}}}
	for _, w := range window.Between(window.Day, date(from), date(until)) {
		put(k, w.Key(), w.Key(), 1, "h"+w.Key())
	}
	return k
}

func put(k lineage.Known, key, eventDay string, generation int, hash string) {
	e, ok := k.Rows[key]
	if !ok || e.Generation != generation {
		e = events.Entry{Generation: generation, Sheet: events.Sheet{}}
	}
	e.Sheet[eventDay] = events.Counts{Read: 10, Stored: 10, Hash: hash}
	k.Rows[key] = e
}

// compute aggregates every week of [from, until) from what is known.
func compute(t *testing.T, d *dataset.Dataset, k lineage.Known, from, until string) {
	t.Helper()
	for _, w := range window.Between(window.Week, date(from), date(until)) {
		v := judge(t, d, weekly, w.Key(), k)
		k.Aggregates["weekly"][w.Key()] = lineage.AggregateEntry{Inputs: v.Inputs, Digest: "d" + v.Inputs, Provisional: !v.Complete()}
	}
}

func judge(t *testing.T, d *dataset.Dataset, q dataset.Query, key string, k lineage.Known) lineage.Verdict {
	t.Helper()
	v, err := lineage.Judge(d, q, parse(t, key), k)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func keys(windows []window.Window) string {
	var all []string
	for _, w := range windows {
		all = append(all, w.Key())
	}
	return strings.Join(all, " ")
}

func TestNeeded(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*dataset.Dataset)
		in     dataset.Input
		window string
		want   string
	}{
		"rows of a week are its days":                       {nil, dataset.Input{Table: "rows"}, "2001-W02", "2001-01-08 2001-01-09 2001-01-10 2001-01-11 2001-01-12 2001-01-13 2001-01-14"},
		"nothing is needed from before the first window":    {nil, dataset.Input{Table: "rows", Back: 28 * day}, "2001-01-02", "2001-01-01 2001-01-02"},
		"nothing is needed from after the last window":      {func(d *dataset.Dataset) { d.Collect.Lateness = 9 * day }, dataset.Input{Table: "rows"}, "2001-06-29", "2001-06-29 2001-06-30"},
		"late rows come in later windows":                   {func(d *dataset.Dataset) { d.Collect.Lateness = 2 * day }, dataset.Input{Table: "rows"}, "2001-03-01", "2001-03-01 2001-03-02 2001-03-03"},
		"an hour of lateness touches one window more":       {func(d *dataset.Dataset) { d.Collect.Lateness = time.Hour }, dataset.Input{Table: "rows"}, "2001-03-01", "2001-03-01 2001-03-02"},
		"a look back by hours touches the day before":       {nil, dataset.Input{Table: "rows", Back: time.Hour}, "2001-03-02", "2001-03-01 2001-03-02"},
		"weeks must lie wholly in the span":                 {nil, dataset.Input{Table: "weekly", Back: 14 * day}, "2001-03", "2001-W08 2001-W09 2001-W10 2001-W11 2001-W12"},
		"the first week is the first whole one":             {func(d *dataset.Dataset) { d.Collect.Start = date("2001-01-03") }, dataset.Input{Table: "weekly", Back: 14 * day}, "2001-01", "2001-W02 2001-W03 2001-W04"},
		"weekly collection and a month: every week touched": {func(d *dataset.Dataset) { d.Collect.Every = window.Week }, dataset.Input{Table: "rows"}, "2001-02", "2001-W05 2001-W06 2001-W07 2001-W08 2001-W09"},
	} {
		t.Run(name, func(t *testing.T) {
			d := flights()
			if c.change != nil {
				c.change(d)
			}
			got, err := lineage.Needed(d, c.in, parse(t, c.window))
			if err != nil || keys(got) != c.want {
				t.Errorf("Needed(%s, %s) = %q, %v, want %q", c.in.Table, c.window, keys(got), err, c.want)
			}
		})
	}
}

func TestJudgeSaysWhatIsAbsent(t *testing.T) {
	for name, c := range map[string]struct {
		change func(t *testing.T, d *dataset.Dataset, k lineage.Known)
		query  dataset.Query
		window string
		want   string
	}{
		"nothing, when all is stored and computed": {func(*testing.T, *dataset.Dataset, lineage.Known) {}, training, "2001-02", ""},
		"a day that is not stored":                 {func(_ *testing.T, _ *dataset.Dataset, k lineage.Known) { delete(k.Rows, "2001-02-07") }, weekly, "2001-W06", "rows 2001-02-07 is missing"},
		"a day of the week before":                 {func(_ *testing.T, _ *dataset.Dataset, k lineage.Known) { delete(k.Rows, "2001-02-07") }, weekly, "2001-W07", "rows 2001-02-07 is missing"},
		"a week that is not computed": {
			func(_ *testing.T, _ *dataset.Dataset, k lineage.Known) { delete(k.Aggregates["weekly"], "2001-W06") }, training, "2001-02",
			"weekly 2001-W06 is missing",
		},
		"weeks computed from rows that were restated since": {
			func(_ *testing.T, _ *dataset.Dataset, k lineage.Known) { put(k, "2001-01-25", "2001-01-25", 2, "new") }, training, "2001-02",
			"weekly 2001-W04 is outdated; weekly 2001-W05 is outdated",
		},
		"weeks computed by another text": {
			func(_ *testing.T, d *dataset.Dataset, _ lineage.Known) { d.Aggregates[0].SQL = "SELECT 3" }, training, "2001-02",
			"weekly 2001-W04 is outdated; weekly 2001-W05 is outdated; weekly 2001-W06 is outdated; weekly 2001-W07 is outdated; weekly 2001-W08 is outdated",
		},
		"a week computed from incomplete rows": {
			func(t *testing.T, d *dataset.Dataset, k lineage.Known) {
				delete(k.Rows, "2001-01-27")
				compute(t, d, k, "2001-01-22", "2001-02-05")
			}, training, "2001-02", "weekly 2001-W04 is provisional; weekly 2001-W05 is provisional",
		},
	} {
		t.Run(name, func(t *testing.T) {
			d, k := flights(), stored("2001-01-01", "2001-03-05")
			compute(t, d, k, "2001-01-01", "2001-03-05")
			c.change(t, d, k)
			v := judge(t, d, c.query, c.window, k)
			var got []string
			for _, a := range v.Absent {
				got = append(got, a.String())
			}
			if diff := cmp.Diff(c.want, strings.Join(got, "; ")); diff != "" {
				t.Errorf("Absent of %s %s (-want +got):\n%s", c.query.Name, c.window, diff)
			}
			if v.Complete() != (c.want == "") {
				t.Errorf("Complete() = %v with %d absent", v.Complete(), len(v.Absent))
			}
		})
	}
}

// changed lists the weeks and months whose signatures differ between before and after.
func changed(t *testing.T, d *dataset.Dataset, before, after lineage.Known) string {
	t.Helper()
	var all []string
	for _, w := range window.Between(window.Week, d.Collect.Start, date("2001-03-05")) {
		if judge(t, d, weekly, w.Key(), before).Inputs != judge(t, d, weekly, w.Key(), after).Inputs {
			all = append(all, w.Key())
		}
	}
	for _, w := range window.Between(window.Month, d.Collect.Start, date("2001-03-05")) {
		if judge(t, d, training, w.Key(), before).Inputs != judge(t, d, training, w.Key(), after).Inputs {
			all = append(all, w.Key())
		}
	}
	return strings.Join(all, " ")
}

func TestARestatedDayChangesExactlyWhatSeesIt(t *testing.T) {
	for name, c := range map[string]struct {
		change func(k lineage.Known)
		want   string
	}{
		"a day in the middle changes its week, the next one, and its month": {
			func(k lineage.Known) { put(k, "2001-01-17", "2001-01-17", 2, "new") }, "2001-W03 2001-W04 2001-01 2001-02", // February sees week 4
		},
		"a day whose weeks end with January": {
			func(k lineage.Known) { put(k, "2001-01-09", "2001-01-09", 2, "new") }, "2001-W02 2001-W03 2001-01",
		},
		"a new generation with equal rows changes nothing": {
			func(k lineage.Known) { put(k, "2001-01-17", "2001-01-17", 2, "h2001-01-17") }, "",
		},
		"a late row changes what sees its event day": {
			func(k lineage.Known) { put(k, "2001-01-18", "2001-01-14", 1, "late") }, "2001-W02 2001-W03 2001-01",
		},
		"rows without an event time change nothing": {
			func(k lineage.Known) { put(k, "2001-01-18", events.UnknownDay, 1, "") }, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := flights()
			d.Collect.Lateness = 7 * day
			before, after := stored("2001-01-01", "2001-03-20"), stored("2001-01-01", "2001-03-20")
			c.change(after)
			compute(t, d, before, "2001-01-01", "2001-03-05")
			compute(t, d, after, "2001-01-01", "2001-03-05")
			if got := changed(t, d, before, after); got != c.want {
				t.Errorf("changed %q, want %q", got, c.want)
			}
		})
	}
}

func TestInputsChangeWithTheQuery(t *testing.T) {
	d, k := flights(), stored("2001-01-01", "2001-03-05")
	compute(t, d, k, "2001-01-01", "2001-03-05")
	want := judge(t, d, training, "2001-02", k).Inputs
	for name, change := range map[string]func(q *dataset.Query){
		"the text":      func(q *dataset.Query) { q.SQL += " " },
		"the split":     func(q *dataset.Query) { q.Split = "split" },
		"the order":     func(q *dataset.Query) { q.OrderBy = []string{"a"} },
		"a look back":   func(q *dataset.Query) { q.Inputs = []dataset.Input{{Table: "rows", Back: 1}, q.Inputs[1]} },
		"a lost input":  func(q *dataset.Query) { q.Inputs = q.Inputs[:1] },
		"swapped ones":  func(q *dataset.Query) { q.Inputs = []dataset.Input{q.Inputs[1], q.Inputs[0]} },
		"nothing of it": func(q *dataset.Query) { q.Every, q.Delay, q.Line, q.File = "", 1, 2, "b.sql" },
	} {
		q := training
		change(&q)
		if got := judge(t, d, q, "2001-02", k).Inputs; (got == want) != strings.HasPrefix(name, "nothing") {
			t.Errorf("%s: Inputs = %s, before it was %s", name, got, want)
		}
	}
}

func TestJudgeRefuses(t *testing.T) {
	d, k := flights(), stored("2001-01-01", "2001-01-20")
	q := dataset.Query{Name: "bad", Inputs: []dataset.Input{{Table: "nothing"}}}
	if _, err := lineage.Judge(d, q, parse(t, "2001-01"), k); !errors.Is(err, events.ErrInvalid) {
		t.Errorf("unknown input: %v, want ErrInvalid", err)
	}
	d.Aggregates[0].Inputs = []dataset.Input{{Table: "weekly"}}
	k.Aggregates["weekly"]["2001-W01"] = lineage.AggregateEntry{}
	if _, err := lineage.Judge(d, d.Aggregates[0], parse(t, "2001-W01"), k); !errors.Is(err, events.ErrInvalid) {
		t.Errorf("an aggregate of itself: %v, want ErrInvalid", err)
	}
}

func TestReadDecodesTheMapsOfTables(t *testing.T) {
	k, err := lineage.Read(map[string]table.Head{
		"rows":   {Snapshot: 1, Entries: map[string]json.RawMessage{"2001-01-01": []byte(`{"generation": 3}`)}},
		"weekly": {Snapshot: 2, Entries: map[string]json.RawMessage{"2001-W01": []byte(`{"digest": "d"}`)}},
	})
	if err != nil || k.Rows["2001-01-01"].Generation != 3 || k.Aggregates["weekly"]["2001-W01"].Digest != "d" {
		t.Errorf("Read = %+v, %v", k, err)
	}
	if _, err := lineage.Read(map[string]table.Head{"rows": {Entries: map[string]json.RawMessage{"2001-01-01": []byte(`7`)}}}); err == nil {
		t.Error("Read of a torn map gave no error")
	}
}
