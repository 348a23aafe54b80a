package store

import (
	"strings"
	"testing"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/table"
)

func rule(kind, severity string, change func(*dataset.Rule)) dataset.Rule {
	r := dataset.Rule{Name: "the-rule", Kind: kind, Severity: severity, Scope: "window", Line: 42}
	if change != nil {
		change(&r)
	}
	return r
}

func TestAWindowStops(t *testing.T) {
	early := []row{{id: 1, at: "01-05 02:00", delay: 1, origin: "A"}, {id: 2, at: "01-05 03:00", delay: nil, origin: "A"}}
	bad := []row{{id: 3, at: "01-05 04:00", refused: "type"}, {id: 4, at: "01-05 04:00", refused: "range"}, {id: 5, at: "01-05 04:00", refused: "range"}}
	tests := map[string]struct {
		rule   dataset.Rule
		reject dataset.Reject
		source [][]row
		reason string
		says   []string // in Detail; none if the window is stored
	}{
		"with fewer rows than wanted": {
			rule: rule("row_count", "error", func(r *dataset.Rule) { r.Min = new(1e6) }), source: [][]row{early},
			reason: "window_rule", says: []string{"rule the-rule (contract line 42): rows: 2, want at least 1000000"},
		},
		"with more rows than wanted": {
			rule: rule("row_count", "error", func(r *dataset.Rule) { r.Max = new(1.0) }), source: [][]row{early},
			reason: "window_rule", says: []string{"rows: 2, want at most 1"},
		},
		"not with just as many rows": {
			rule: rule("row_count", "error", func(r *dataset.Rule) { r.Min, r.Max = new(2.0), new(2.0) }), source: [][]row{early},
		},
		"without any row where some are wanted": {
			rule: rule("row_count", "error", func(r *dataset.Rule) { r.Min = new(1.0) }), source: [][]row{{}},
			reason: "window_rule", says: []string{"rows: 0, want at least 1"},
		},
		"with too many nulls": {
			rule:   rule("null_share", "error", func(r *dataset.Rule) { r.Column, r.Max = "delay", new(0.25) }),
			source: [][]row{early, early}, reason: "window_rule", says: []string{"share of nulls in delay: 0.5, want at most 0.25"},
		},
		"not for nulls where there are no rows": {
			rule: rule("null_share", "error", func(r *dataset.Rule) { r.Column, r.Max = "delay", new(0.0) }), source: [][]row{{}},
		},
		"when its newest row is old": {
			rule: rule("freshness", "error", func(r *dataset.Rule) { r.Within = time.Hour }), source: [][]row{early},
			reason: "window_rule", says: []string{"the newest row is of 2001-01-05T03:00:00Z, want one within 1h0m0s of the window's end 2001-01-06T00:00:00Z"},
		},
		"not when its newest row, of any slice, is just new enough": {
			rule: rule("freshness", "error", func(r *dataset.Rule) { r.Within = 21 * time.Hour }), source: [][]row{early, {{id: 9, at: "01-05 01:00"}}},
		},
		"when it has no row to be fresh": {
			rule: rule("freshness", "error", func(r *dataset.Rule) { r.Within = time.Hour }), source: [][]row{{}},
			reason: "window_rule", says: []string{"no row at all, want one within 1h0m0s"},
		},
		"with a value that comes twice, across slices": {
			rule:   rule("unique", "error", func(r *dataset.Rule) { r.Columns = []string{"origin"} }),
			source: [][]row{early[:1], early[1:]}, reason: "window_rule", says: []string{"1 rows repeat a value of origin"},
		},
		"not for values that come twice with another": {
			rule: rule("unique", "error", func(r *dataset.Rule) { r.Columns = []string{"origin", "id"} }), source: [][]row{early},
		},
		"not for nulls that come twice": {
			rule:   rule("unique", "error", func(r *dataset.Rule) { r.Columns = []string{"delay"} }),
			source: [][]row{{{id: 1, at: "01-05 02:00"}, {id: 2, at: "01-05 02:00"}}},
		},
		"with more refused rows than the budget": {
			reject: dataset.Reject{Rows: 2, Share: 0.5}, source: [][]row{early, bad}, reason: "reject_budget",
			says: []string{"3 of 5 rows were refused (60.00 %), the budget is 2 rows or 50.00 %", "top reasons: range 2, type 1", "almanac quarantine show flights 2001-01-05",
				"Nothing of generation 1 of this window is visible."},
		},
		"not with more refused rows, but within the share": {reject: dataset.Reject{Rows: 2, Share: 0.6}, source: [][]row{early, bad}},
		"not with a greater share, but within the rows":    {reject: dataset.Reject{Rows: 3, Share: 0}, source: [][]row{early, bad}},
	}
	for name, tt := range tests {
		w := newWorld(t)
		w.d.Rules = []dataset.Rule{tt.rule}
		if tt.rule.Kind == "" {
			w.d.Rules, w.d.Reject = nil, tt.reject
		}
		wake := w.ingest(1, tt.source...)
		w.handle(w.store(), append(wake, wake...)...)
		stopped, ok := known[events.Stopped](w, piece(1))
		_, stored := known[events.Stored](w, piece(1))
		if ok != (tt.says != nil) || stored == ok || stopped.Reason != tt.reason {
			t.Errorf("it stops %s: stopped %t (%s), stored %t; want %t (%s)", name, ok, stopped.Detail, stored, tt.says != nil, tt.reason)
		}
		for _, text := range tt.says {
			if !strings.Contains(stopped.Detail, text) {
				t.Errorf("it stops %s: says %q, want %q in it", name, stopped.Detail, text)
			}
		}
		if ok && (w.snapshots(table.Rows)+w.snapshots(table.Quarantine) > 0 || stopped.Step != "store" || stopped.Definition != "d1" || stopped.Waiting) {
			t.Errorf("it stops %s: %+v, %d snapshots", name, stopped, w.snapshots(table.Rows))
		}
		if said := len(w.journal.Said()); ok && said != 4*len(tt.source)+1 {
			t.Errorf("it stops %s: %d events were said, want one stop", name, said)
		}
		tt.rule.Severity = "warning"
		if tt.rule.Kind != "" && tt.says != nil {
			w.warns(name, tt.rule, tt.source)
		}
	}
}

// warns asks the same of a rule that must not stop the window.
func (w *world) warns(name string, r dataset.Rule, source [][]row) {
	w.t.Helper()
	other := newWorld(w.t)
	other.d.Rules = []dataset.Rule{r}
	other.handle(other.store(), other.ingest(1, source...)...)
	stored, ok := known[events.Stored](other, piece(1))
	if !ok || stored.Entry.Reasons["the-rule"] != 1 {
		w.t.Errorf("a warning %s: stored %t with reasons %v", name, ok, stored.Entry.Reasons)
	}
}

func TestAStoppedGenerationLeavesTheOneBefore(t *testing.T) {
	w := newWorld(t)
	w.handle(w.store(), w.ingest(1, first, second, third)...)
	w.d.Reject = dataset.Reject{}
	w.handle(w.store(), w.ingest(2, first)...)
	stopped, ok := known[events.Stopped](w, piece(2))
	if !ok || !strings.Contains(stopped.Detail, "Nothing of generation 2 of this window is visible; what an earlier one has stored stays.") {
		t.Errorf("stopped is %+v, %t", stopped, ok)
	}
	w.wantWhole()
}

func TestAStoppedWindowIsStoredOnceItsRulesHold(t *testing.T) {
	w := newWorld(t)
	w.d.Reject = dataset.Reject{}
	w.handle(w.store(), w.ingest(1, first)...)
	w.wantRows(table.Rows, "id")
	w.d.Definition, w.d.Reject = "d2", dataset.Reject{Rows: 1}
	w.handle(w.store(), w.ingest(1, first)...)
	w.wantRows(table.Rows, "id", "1", "2", "3")
}

func TestRepeatsOfThePrimaryKey(t *testing.T) {
	a := func(origin string) row { return row{id: 1, at: "01-05 01:00", delay: 1, origin: origin} }
	b := func(origin string) row { return row{id: 2, at: "01-04 23:00", delay: nil, origin: origin} }
	tests := map[string]struct {
		source [][]row
		want   []string // id origin _slice _ordinal
		sheet  events.Sheet
	}{
		"none": {
			[][]row{{a("a"), b("b")}}, []string{"1 a 1 0", "2 b 1 1"},
			events.Sheet{"2001-01-05": {Read: 1, Stored: 1}, "2001-01-04": {Read: 1, Stored: 1}},
		},
		"in one slice the first stays": {
			[][]row{{a("first"), b("b"), a("again"), a("again")}}, []string{"1 first 1 0", "2 b 1 1"},
			events.Sheet{"2001-01-05": {Read: 3, Stored: 1, Duplicate: 2}, "2001-01-04": {Read: 1, Stored: 1}},
		},
		"across slices that of the first slice stays": {
			[][]row{{b("b")}, {a("first"), b("again")}, {b("again"), a("again")}}, []string{"2 b 1 0", "1 first 2 0"},
			events.Sheet{"2001-01-05": {Read: 2, Stored: 1, Duplicate: 1}, "2001-01-04": {Read: 3, Stored: 1, Duplicate: 2}},
		},
		"a slice of nothing else": {
			[][]row{{a("first"), b("b")}, {a("again"), b("again")}}, []string{"1 first 1 0", "2 b 1 1"},
			events.Sheet{"2001-01-05": {Read: 2, Stored: 1, Duplicate: 1}, "2001-01-04": {Read: 2, Stored: 1, Duplicate: 1}},
		},
		"beside refused and filtered records": {
			[][]row{{{id: 1, at: "01-05 00:00", refused: "type"}, a("first"), {id: 1, at: "01-05 00:00", dropped: true}, a("again")}}, []string{"1 first 1 1"},
			events.Sheet{"2001-01-05": {Read: 4, Stored: 1, Duplicate: 1, Quarantined: 1, Filtered: 1}},
		},
	}
	for name, tt := range tests {
		w := newWorld(t)
		w.d.Key = []string{"id"}
		w.d.Rules = []dataset.Rule{
			rule("unique", "error", func(r *dataset.Rule) { r.Columns = []string{"id"} }),
			// Dropped rows do not count here: the two would break these rules.
			rule("unique", "error", func(r *dataset.Rule) { r.Columns = []string{"origin"} }),
			rule("null_share", "error", func(r *dataset.Rule) { r.Column, r.Max = "delay", new(0.5) }),
		}
		wake := w.ingest(1, tt.source...)
		w.handle(w.store(), append(wake, wake...)...)
		w.wantRows(table.Rows, "id origin _slice _ordinal", tt.want...)
		stored, ok := known[events.Stored](w, piece(1))
		if !ok {
			stopped, _ := known[events.Stopped](w, piece(1))
			t.Errorf("%s: not stored: %s", name, stopped.Detail)
			continue
		}
		for day, want := range tt.sheet {
			got := stored.Entry.Sheet[day]
			if got.Hash = ""; got != want || !got.Balanced() {
				t.Errorf("%s: the sheet of %s is %+v, want %+v", name, day, got, want)
			}
		}
	}
}

func TestTheHashOfADayIsThatOfTheRowsKept(t *testing.T) {
	clean, repeated := newWorld(t), newWorld(t)
	for _, w := range []*world{clean, repeated} {
		w.d.Key = []string{"id"}
	}
	clean.handle(clean.store(), clean.ingest(1, first, second)...)
	repeated.handle(repeated.store(), repeated.ingest(1, first, second, first[:2], second)...)
	a, _ := known[events.Stored](clean, piece(1))
	b, _ := known[events.Stored](repeated, piece(1))
	for day, counts := range a.Entry.Sheet {
		if got := b.Entry.Sheet[day]; got.Stored != counts.Stored || got.Hash != counts.Hash {
			t.Errorf("repeats change the day %s: its counts are %+v and %+v", day, counts, got)
		}
	}
	if len(b.Entry.Sheet) != len(a.Entry.Sheet) || b.Entry.Sheet.Total().Duplicate == 0 {
		t.Errorf("the sheets are %+v and %+v, want the same days, and repeats in the second", a.Entry.Sheet, b.Entry.Sheet)
	}
}

func TestASheetThatIsNotTrueIsRefused(t *testing.T) {
	for name, sheet := range map[string]events.Sheet{
		"one row too many": {"2001-01-05": {Read: 5, Stored: 4, Quarantined: 1}},
		"one row too few":  {"2001-01-05": {Read: 3, Stored: 2, Quarantined: 1}},
		"another day":      {"2001-01-06": {Read: 4, Stored: 3, Quarantined: 1}},
		"a day more":       {"2001-01-05": {Read: 4, Stored: 3, Quarantined: 1}, "2001-01-06": {Read: 1, Stored: 1}},
		"nothing":          nil,
	} {
		w := newWorld(t)
		wake := w.ingest(1, first)
		wake[0].Sheet = sheet
		w.must(w.journal.Say(t.Context(), *wake[0]))
		if err := w.store().Handle(t.Context(), wake[0]); err == nil {
			t.Errorf("%s: Handle took the sheet", name)
		}
		w.wantRows(table.Rows, "id")
	}
	w := newWorld(t)
	wake := w.ingest(1, first)
	wake[0].Sheet = events.Sheet{"2001-01-05": {Read: 9, Stored: 3, Quarantined: 1}}
	w.must(w.journal.Say(t.Context(), *wake[0]))
	w.handle(w.store(), wake...)
	if stopped, _ := known[events.Stopped](w, piece(1)); stopped.Reason != "unbalanced" {
		t.Errorf("a sheet that does not balance: stopped is %+v", stopped)
	}
}
