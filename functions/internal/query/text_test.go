package query_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/query"
)

func bound(text string) (string, error) {
	return query.Query{
		Text: text, Start: time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC), End: time.Date(2001, 1, 8, 12, 0, 0, 5000, time.UTC),
	}.Bound()
}

const (
	start = "TIMESTAMP '2001-01-01 00:00:00'"
	end   = "TIMESTAMP '2001-01-08 12:00:00.000005'"
)

func TestBound(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"both bounds":             {"a >= :start AND a<:end", "a >= " + start + " AND a<" + end},
		"a string is left alone":  {"':start' || 'it''s :end'", "':start' || 'it''s :end'"},
		"a name is left alone":    {`":start" + ` + "`:end`", `":start" + ` + "`:end`"},
		"a comment is left alone": {"-- :start\n:start /* ' :end */", "-- :start\n" + start + " /* ' :end */"},
		"a cast is left alone":    {"x::start", "x::start"},
		"a last semicolon goes":   {"SELECT 1; -- end\n", "SELECT 1  -- end\n"},
		"a lonely colon stays":    {"a[1:2]", "a[1:2]"},
	} {
		if got, err := bound(c.text); err != nil || got != c.want {
			t.Errorf("%s: Bound(%q) = %q, %v, want %q", name, c.text, got, err, c.want)
		}
	}
}

func TestBoundWithEditsStringLiteralsAlone(t *testing.T) {
	q := query.Query{Text: "SELECT 'a' || 'it''s' AS \"a\", `a` -- 'a'"}
	got, err := q.BoundWith(strings.ToUpper)
	if want := "SELECT 'A' || 'IT''S' AS \"a\", `a` -- 'a'"; err != nil || got != want {
		t.Errorf("BoundWith = %q, %v, want %q", got, err, want)
	}
}

func TestBoundRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"another parameter":       {"SELECT\n:begin", "line 2: unknown parameter :begin"},
		"a longer name":           {":started", "unknown parameter :started"},
		"two statements":          {"SELECT 1;\nDROP TABLE x", "line 2: text goes on"},
		"a string without an end": {"SELECT 'x", "line 1: a string"},
	} {
		_, err := bound(c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, events.ErrInvalid) {
			t.Errorf("%s: Bound(%q) = %v, want ErrInvalid with %q", name, c.text, err, c.want)
		}
	}
}

func FuzzBound(f *testing.F) {
	for _, text := range []string{"", "':start", ":start:end::start", "--", "/*", "a;b", "\"\"\"", "\xff:end"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := bound(text)
		if err == nil && strings.Count(got, "\n") != strings.Count(text, "\n") {
			t.Errorf("Bound(%q) = %q: lines moved", text, got)
		}
	})
}
