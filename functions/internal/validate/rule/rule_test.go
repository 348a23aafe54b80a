package rule

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/dataset"
)

var columns = []dataset.Column{
	{Name: "i", Type: dataset.Integer}, {Name: "f", Type: dataset.Number}, {Name: "c", Type: dataset.Decimal, Precision: 10, Scale: 2},
	{Name: "d", Type: dataset.Date}, {Name: "t", Type: dataset.Timestamp}, {Name: "s", Type: dataset.String}, {Name: "b", Type: dataset.Boolean},
}

// batchOf makes a batch whose column has the given values, as Arrow reads them from text; "" is null, ” the empty text.
func batchOf(tb testing.TB, schema *arrow.Schema, column string, values []string) arrow.RecordBatch {
	tb.Helper()
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for i, f := range schema.Fields() {
		for n, v := range values {
			switch {
			case f.Name == block.Ordinal:
				b.Field(i).(*array.Int64Builder).Append(int64(n))
			case f.Name != column || v == "":
				b.Field(i).AppendNull()
			case v == "''":
				b.Field(i).(*array.StringBuilder).Append("")
			default:
				if err := b.Field(i).AppendValueFromString(v); err != nil {
					tb.Fatal(err)
				}
			}
		}
	}
	return b.NewRecordBatch()
}

func TestBroken(t *testing.T) {
	schema := block.Schema(&dataset.Dataset{Columns: columns})
	tests := map[string]struct {
		rule   dataset.Rule
		values []string
		want   map[int]string // row, detail
	}{
		"required":            {dataset.Rule{Kind: "required", Column: "s"}, []string{"a", "", "''"}, map[int]string{1: "s is missing"}},
		"required of all":     {dataset.Rule{Kind: "required", Column: "i"}, []string{"1", "2"}, nil},
		"a range of integers": {dataset.Rule{Kind: "range", Column: "i", Min: new(-1.5), Max: new(3.0)}, []string{"-2", "-1", "3", "4", ""}, map[int]string{0: "i is -2, must be -1.5 to 3", 3: "i is 4, must be -1.5 to 3"}},
		"a range open below":  {dataset.Rule{Kind: "range", Column: "i", Max: new(1440.0)}, []string{"1441", "-9223372036854775808"}, map[int]string{0: "i is 1441, must be at most 1440"}},
		"a range open above":  {dataset.Rule{Kind: "range", Column: "i", Min: new(0.0)}, []string{"9223372036854775807", "-1"}, map[int]string{1: "i is -1, must be at least 0"}},
		"a range beyond all":  {dataset.Rule{Kind: "range", Column: "i", Min: new(-1e300), Max: new(1e300)}, []string{"9223372036854775807", "-9223372036854775808"}, nil},
		"a range of numbers":  {dataset.Rule{Kind: "range", Column: "f", Min: new(0.1), Max: new(1.0)}, []string{"0.1", "1", "1.0000000000000002", "NaN", "+Inf", "", "0"}, map[int]string{2: "f is 1.0000000000000002, must be 0.1 to 1", 3: "f is NaN, must be 0.1 to 1", 4: "f is +Inf, must be 0.1 to 1", 6: "f is 0, must be 0.1 to 1"}},
		"a range of decimals": {dataset.Rule{Kind: "range", Column: "c", Min: new(0.1), Max: new(1.005)}, []string{"0.10", "0.09", "1.00", "1.01", "", "-5.00"}, map[int]string{1: "c is 0.09, must be 0.1 to 1.005", 3: "c is 1.01, must be 0.1 to 1.005", 5: "c is -5, must be 0.1 to 1.005"}},
		"decimals open":       {dataset.Rule{Kind: "range", Column: "c", Min: new(0.0)}, []string{"99999999.99", "-0.01"}, map[int]string{1: "c is -0.01, must be at least 0"}},
		"a range of dates":    {dataset.Rule{Kind: "range", Column: "d", Min: new(11323.0)}, []string{"2001-01-01", "2000-12-31", ""}, map[int]string{1: "d is 2000-12-31, must be at least 2001-01-01"}},
		"dates, impossible":   {dataset.Rule{Kind: "range", Column: "d", Min: new(1e12)}, []string{"2001-01-01"}, map[int]string{0: "d is 2001-01-01, must be at least " + "2739908908-08-10"}},
		"a range of times":    {dataset.Rule{Kind: "range", Column: "t", Max: new(978307200e6)}, []string{"2001-01-01T00:00:00Z", "2001-01-01T00:00:00.000001Z", ""}, map[int]string{1: "t is 2001-01-01T00:00:00.000001Z, must be at most 2001-01-01T00:00:00Z"}},
		"a set of texts":      {dataset.Rule{Kind: "set", Column: "s", Set: []string{"A", "B"}}, []string{"A", "C", "C", "B", "", "''"}, map[int]string{1: `s is "C", must be one of A, B`, 2: `s is "C", must be one of A, B`, 5: `s is "", must be one of A, B`}},
		"a set with nothing":  {dataset.Rule{Kind: "set", Column: "s", Set: []string{""}}, []string{"''", "A"}, map[int]string{1: `s is "A", must be one of `}},
		"a large set":         {dataset.Rule{Kind: "set", Column: "i", Set: strings.Fields("1 2 3 4 5 6 7 8 9 10 11 -12")}, []string{"11", "0", "", "-12"}, map[int]string{1: "i is 0, must be one of 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 or 2 more"}},
		"a pattern":           {dataset.Rule{Kind: "regex", Column: "s", Pattern: "[A-Z]{3}|x"}, []string{"ABC", "ABCD", "x", "xx", "xx", "", "ABC\n"}, map[int]string{1: `s is "ABCD", must match [A-Z]{3}|x`, 3: `s is "xx", must match [A-Z]{3}|x`, 4: `s is "xx", must match [A-Z]{3}|x`, 6: `s is "ABC\n", must match [A-Z]{3}|x`}},
		"a length":            {dataset.Rule{Kind: "length", Column: "s", Min: new(2.0), Max: new(3.0)}, []string{"äöü", "äöüß", "a", "", "''", "abc", "日本"}, map[int]string{1: "s has 4 characters, must have 2 to 3", 2: "s has 1 characters, must have 2 to 3", 4: "s has 0 characters, must have 2 to 3"}},
		"an exact length":     {dataset.Rule{Kind: "length", Column: "s", Min: new(2.0), Max: new(2.0)}, []string{"ab", "abc"}, map[int]string{1: "s has 3 characters, must have 2"}},
		"a long value":        {dataset.Rule{Kind: "length", Column: "s", Max: new(3.0)}, []string{strings.Repeat("ä", 200)}, map[int]string{0: "s has 200 characters, must have at most 3"}},
		"a long wrong value":  {dataset.Rule{Kind: "set", Column: "s", Set: []string{"A"}}, []string{strings.Repeat("aä", 100)}, map[int]string{0: `s is "` + strings.Repeat("aä", 33) + `a"..., must be one of A`}},
	}
	for name, tt := range tests {
		tt.rule.Scope = "row"
		rules, err := Compile(&dataset.Dataset{Rules: []dataset.Rule{tt.rule}}, schema)
		if err != nil {
			t.Errorf("%s: Compile: %v", name, err)
			continue
		}
		batch := batchOf(t, schema, tt.rule.Column, tt.values)
		for range 2 { // the second time from memory
			got := map[int]string{}
			rules[0].Broken(batch, func(row int) { got[row] = rules[0].Detail(batch, row) })
			if tt.want == nil {
				tt.want = map[int]string{}
			}
			if name == "dates, impossible" {
				if len(got) != 1 {
					t.Errorf("%s: %v, want one", name, got)
				}
			} else if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%s: Broken(%q) = %v, want %v", name, tt.values, got, tt.want)
			}
		}
		batch.Release()
	}
}

func TestCompileOrdersAndChooses(t *testing.T) {
	d := &dataset.Dataset{Columns: columns, Rules: []dataset.Rule{
		{Name: "w", Kind: "required", Column: "i", Scope: "row", Severity: "warning"},
		{Name: "unique", Kind: "unique", Scope: "window"},
		{Name: "b", Kind: "required", Column: "s", Scope: "row", Severity: "error"},
		{Name: "a", Kind: "required", Column: "f", Scope: "row", Severity: "error"},
	}}
	rules, err := Compile(d, block.Schema(d))
	var got []string
	for _, r := range rules {
		got = append(got, fmt.Sprint(r.Name, r.Index, r.Warning()))
	}
	if want := "b5 false a1 false w0 true"; err != nil || strings.Join(got, " ") != want {
		t.Errorf("Compile = %v, %v, want %v", got, err, want)
	}
}

func TestCompileRefuses(t *testing.T) {
	for name, r := range map[string]dataset.Rule{
		"an unknown kind":         {Kind: "magic", Column: "i"},
		"an unknown column":       {Kind: "required", Column: "x"},
		"a range of texts":        {Kind: "range", Column: "s"},
		"a set of numbers":        {Kind: "set", Column: "f"},
		"a set of wrong integers": {Kind: "set", Column: "i", Set: []string{"one"}},
		"a pattern of integers":   {Kind: "regex", Column: "i", Pattern: "1"},
		"a wrong pattern":         {Kind: "regex", Column: "s", Pattern: "("},
		"a length of booleans":    {Kind: "length", Column: "b"},
		"a decimal bound too far": {Kind: "range", Column: "c", Max: new(math.Inf(1))},
		"a decimal bound too low": {Kind: "range", Column: "c", Min: new(-1e300)},
	} {
		r.Scope, r.Name = "row", "the-rule"
		d := &dataset.Dataset{Name: "flights", Columns: columns, Rules: []dataset.Rule{r}}
		if _, err := Compile(d, block.Schema(d)); !errors.Is(err, events.ErrInvalid) || !strings.Contains(err.Error(), "the-rule") {
			t.Errorf("%s: Compile error = %v, want ErrInvalid that names the rule", name, err)
		}
	}
}

func TestAPatternIsRememberedOnlySoFar(t *testing.T) {
	asked := 0
	find := remember(func(v string) bool { asked++; return len(v) < 6 })
	schema := block.Schema(&dataset.Dataset{Columns: columns})
	values := make([]string, 2*remembered)
	for i := range values {
		values[i] = fmt.Sprintf("v%06d", i)
	}
	batch := batchOf(t, schema, "s", values)
	for range 3 {
		hits := 0
		find(batch.Column(5), func(int) { hits++ })
		if hits != len(values) {
			t.Fatalf("%d hits, want %d", hits, len(values))
		}
	}
	if most := 3*2*remembered + 3; asked > most || asked < 2*remembered {
		t.Errorf("asked %d times, want between %d and %d", asked, 2*remembered, most)
	}
}

func BenchmarkBroken(b *testing.B) {
	schema := block.Schema(&dataset.Dataset{Columns: columns})
	for name, r := range map[string]dataset.Rule{
		"range":  {Kind: "range", Column: "i", Min: new(0.0), Max: new(1e6)},
		"set":    {Kind: "set", Column: "s", Set: []string{"AAA", "BBB", "CCC"}},
		"regex":  {Kind: "regex", Column: "s", Pattern: "[A-Z]{3}"},
		"length": {Kind: "length", Column: "s", Min: new(1.0), Max: new(3.0)},
	} {
		b.Run(name, func(b *testing.B) {
			r.Scope = "row"
			values := make([]string, 15_000)
			for i := range values {
				values[i] = strings.Fields("AAA BBB CCC")[i%3]
				if r.Column == "i" {
					values[i] = fmt.Sprint(i)
				}
			}
			batch := batchOf(b, schema, r.Column, values)
			rules, err := Compile(&dataset.Dataset{Rules: []dataset.Rule{r}}, schema)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				rules[0].Broken(batch, func(int) { b.Fatal("a row is bad") })
			}
			b.ReportMetric(float64(b.N)*float64(len(values))/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}
