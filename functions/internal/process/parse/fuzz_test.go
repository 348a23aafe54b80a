package parse

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/record"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// messy makes records of flights of which many are wrong.
func messy(r *rand.Rand, n int) string {
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	var b strings.Builder
	for range n {
		fmt.Fprintf(&b, "%s,%s,%s,%s,%s%s",
			pick("2001-01-05 00:01:00", "2001-01-05 23:59:00", "\"2001-01-05 12:00:00\"", "2001-01-07 00:00:00", "never", ""),
			pick("1", "-5", "\"7\"", "x", "", "99999999999999999999"), pick("100", "2", "2.5"),
			pick("A", "\"B\"", "\"C\"\"\nD\"", "\"open", "wrong\"", "\"bad\"x", "E\xff", "\x00", "", "XXX"), pick("Z", "Z,more", "\"\"", "ä"),
			pick("\n", "\n", "\n", "\r\n", "\n\n"))
	}
	return b.String()
}

func TestCuttingAtAnyRecordEndGivesTheSameRows(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	d := flights()
	d.Process.Filters = []dataset.Filter{{Column: "origin", Op: "==", Values: []string{"XXX"}}}
	for range 300 {
		text := messy(r, r.IntN(30))
		want := parse(t, d, "2001-01-05", header+text)
		if total := want.Sheet.Total(); !total.Balanced() || total.Stored != int64(len(want.Rows)) || total.Quarantined != int64(len(want.Rejects)) {
			t.Fatalf("%q is counted as %+v: %d rows, %d refused", text, total, len(want.Rows), len(want.Rejects))
		}
		blocks := []string{header}
		for rest := text; rest != ""; {
			n := record.Cut(d.Collect.Format, []byte(rest[:min(len(rest), 1+r.IntN(200))]), true)
			if n == 0 {
				n = len(rest)
				if record.Cut(d.Collect.Format, []byte(rest), true) > 0 {
					continue // a longer piece ends at a record end
				}
			}
			if s := record.Scan(d.Collect.Format, []byte(rest), false); s.Next() && s.Flaw == record.Sound && s.End > n {
				continue // a piece too short for a whole record
			}
			blocks = append(blocks, rest[:n])
			rest = rest[n:]
		}
		if got := parse(t, d, "2001-01-05", blocks...); !equal(got, want) {
			t.Fatalf("cut into %q:\n%s", blocks, cmp.Diff(want, got))
		}
	}
}

func TestChunksDoNotShow(t *testing.T) {
	text := messy(rand.New(rand.NewPCG(3, 4)), 20000)
	d := flights()
	want := parse(t, d, "2001-01-05", header+text)
	blocks := []string{header}
	for s := record.Scan(d.Collect.Format, []byte(text), false); s.Next(); {
		blocks = append(blocks, text[s.Start:s.End]+"\n")
	}
	if got := parse(t, d, "2001-01-05", blocks...); !equal(got, want) {
		t.Error("one block of 20000 records gives other rows than 20000 blocks")
	}
	if len(want.Rows) < 1000 || len(want.Rejects) < 1000 {
		t.Errorf("%d rows, %d refused", len(want.Rows), len(want.Rejects))
	}
}

// texts3 is a dataset of an event time by default and three texts.
func texts3() *dataset.Dataset {
	now := "2001-01-05 00:00:00"
	d := flights()
	d.Collect.Format.Header = true
	d.Columns = d.Columns[:4:4]
	d.Columns[0].Default, d.Columns[0].Source = &now, "a name that no input has"
	for i := 1; i < 4; i++ {
		d.Columns[i] = dataset.Column{Name: string('a' + byte(i)), Source: string('a' + byte(i)), Type: dataset.String}
	}
	return d
}

func FuzzCSV(f *testing.F) {
	for _, s := range []string{"a,b,c\n", "\"a\"\"\",\"\nb\",\n", ",,\n", "\"\",\"\",\"\"\r\n", "a,b\n", "\"a,b,c\nd,e,f\n"} {
		f.Add(s)
	}
	r := rand.New(rand.NewPCG(5, 6))
	for range 50 {
		f.Add(messy(r, 3))
	}
	d := texts3()
	w, _ := window.Parse("2001-01-05")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := New(d, w, nil)
		if err == nil {
			err = p.Header([]byte("b,c,d"))
		}
		if err != nil {
			t.Fatal(err)
		}
		refused := 0
		batch, err := p.Block(t.Context(), []byte(text), 0, func(Reject) error { refused++; return nil })
		if err != nil {
			t.Fatal(err)
		}
		defer batch.Release()
		balanced(t, p.Sheet(), int(batch.NumRows()), refused)
		reader := csv.NewReader(strings.NewReader(text))
		reader.FieldsPerRecord = 3
		for i := 0; ; i++ {
			want, err := reader.Read()
			if errors.Is(err, io.EOF) {
				if i != int(batch.NumRows()) || refused > 0 {
					t.Fatalf("%q has %d rows and %d refused, want %d", text, batch.NumRows(), refused, i)
				}
				return
			}
			if err != nil || !utf8.ValidString(text) || strings.ContainsRune(text, 0) || strings.Contains(text, "\r") {
				return // we go on behind what is wrong, and keep carriage returns in quotes
			}
			if i >= int(batch.NumRows()) {
				t.Fatalf("%q has %d rows, want more", text, i)
			}
			for c, s := range want {
				column := batch.Column(c + 1)
				if got := column.ValueStr(i); column.IsValid(i) && got != s || column.IsNull(i) && s != "" {
					t.Fatalf("row %d of %q has %q, want %q", i, text, got, want)
				}
			}
		}
	})
}

func balanced(t *testing.T, sheet events.Sheet, rows, refused int) {
	t.Helper()
	if total := sheet.Total(); !total.Balanced() || total.Stored != int64(rows) || total.Quarantined != int64(refused) {
		t.Fatalf("%d rows and %d refused are counted as %+v", rows, refused, total)
	}
}

func FuzzNDJSON(f *testing.F) {
	for _, s := range []string{
		`{"b":"x","c":"y\u00e4","d":null}`, `{"b":"\ud83d\ude00"}`, `{"b":1}`, `{"b":{"c":"d"}}`, `{}`, ` { "b" : "" } `, `{"b":"x","b":"y"}`, `{"z":[1,2,{"b":3}]}`,
		`{"b":"x"}{"b":"y"}`, `{"b":tru}`, `{"b":-0.5e+7}`, `{"b":"\`, `[`, `{"b":"\ud800"}`,
	} {
		f.Add(s)
	}
	d := texts3()
	d.Collect.Format = dataset.Format{Kind: record.NDJSON}
	d.Process.Drop = []string{"z"}
	w, _ := window.Parse("2001-01-05")
	f.Fuzz(func(t *testing.T, line string) {
		p, err := New(d, w, nil)
		if err != nil {
			t.Fatal(err)
		}
		reasons := []string{}
		// Twice, so that the keys are known the second time.
		batch, err := p.Block(t.Context(), []byte(line+"\n"+line), 0, func(r Reject) error { reasons = append(reasons, r.Reason); return nil })
		if err != nil {
			t.Fatal(err)
		}
		defer batch.Release()
		balanced(t, p.Sheet(), int(batch.NumRows()), len(reasons))
		if strings.ContainsAny(line, "\n") {
			return
		}
		got := ""
		switch {
		case batch.NumRows() == 2:
			for c := 1; c < 4; c++ {
				if got += fmt.Sprintf("%v:%s;", batch.Column(c).IsNull(0), batch.Column(c).ValueStr(0)); batch.Column(c).ValueStr(0) != batch.Column(c).ValueStr(1) {
					t.Fatalf("%q is read as %q, then as %q", line, batch.Column(c).ValueStr(0), batch.Column(c).ValueStr(1))
				}
			}
		case len(reasons) == 2 && reasons[0] == reasons[1]:
			got = reasons[0]
		case strings.Trim(line, " \t\r") != "" || len(reasons) > 0:
			t.Fatalf("%q is refused for %q", line, reasons)
		default:
			return
		}
		want, ok := reference(line)
		if ok != (batch.NumRows() == 2) || ok && got != want {
			t.Fatalf("%q is read as %s, want %s", line, got, want)
		}
	})
}

// reference reads a line with encoding/json, and returns false if it has to be refused.
func reference(line string) (string, bool) {
	if !utf8.ValidString(line) || !json.Valid([]byte(line)) {
		return "", false
	}
	var object map[string]any
	if err := json.Unmarshal([]byte(line), &object); err != nil || object == nil {
		return "", false
	}
	var seen []string
	d := json.NewDecoder(strings.NewReader(line))
	_, _ = d.Token()
	for d.More() {
		key, _ := d.Token()
		name := key.(string)
		var value json.RawMessage
		_ = d.Decode(&value)
		if strings.ContainsRune(name, utf8.RuneError) || name != "z" && slices.Contains(seen, name) || !slices.Contains([]string{"b", "c", "d", "z"}, name) {
			return "", false
		}
		seen = append(seen, name)
		if name != "z" && len(value) > 0 && value[0] != '"' && string(value) != "null" {
			return "", false
		}
		if nul, half := broken(value); half || nul && name != "z" {
			return "", false
		}
	}
	got := ""
	for _, name := range []string{"b", "c", "d"} {
		if s, ok := object[name].(string); ok {
			got += fmt.Sprintf("false:%s;", s)
		} else {
			got += "true:(null);"
		}
	}
	return got, true
}

// broken says whether a JSON text holds a NUL, and whether it holds half a surrogate pair, which encoding/json replaces.
func broken(value json.RawMessage) (nul, half bool) {
	var s string
	if len(value) == 0 || value[0] != '"' || json.Unmarshal(value, &s) != nil {
		return false, false
	}
	half = strings.ContainsRune(s, utf8.RuneError) && strings.Contains(strings.ToLower(string(value)), "\\ud")
	return strings.ContainsRune(s, 0), half
}
