package parse

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/google/go-cmp/cmp"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/process/vector"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// flights is a dataset of one event time, two numbers and two texts, read from CSV.
func flights() *dataset.Dataset {
	columns := []dataset.Column{
		{Name: "date", Type: dataset.Timestamp, Required: true, Formats: []string{time.DateTime}, Line: 10},
		{Name: "delay", Type: dataset.Integer, Line: 11},
		{Name: "distance", Type: dataset.Integer, Line: 12},
		{Name: "origin", Type: dataset.String, Required: true, Line: 13},
		{Name: "destination", Type: dataset.String, Line: 14},
	}
	for i := range columns {
		columns[i].Source = columns[i].Name
	}
	return &dataset.Dataset{
		Name: "flights", Version: "1.0.0", Columns: columns,
		Collect: dataset.Collect{
			EventTime: "date", Every: window.Day, Format: dataset.Format{Kind: "csv", Delimiter: ',', Quote: '"', Header: true},
		},
		Process: dataset.Process{Location: time.UTC},
	}
}

// sparse is a dataset with every type, read from NDJSON.
func sparse() *dataset.Dataset {
	d := &dataset.Dataset{
		Name: "sparse", Collect: dataset.Collect{EventTime: "day", Every: window.Month, Format: dataset.Format{Kind: "ndjson"}},
		Columns: []dataset.Column{
			{Name: "day", Type: dataset.Date, Required: true},
			{Name: "at", Type: dataset.Timestamp},
			{Name: "n", Type: dataset.Integer},
			{Name: "x", Type: dataset.Number},
			{Name: "price", Type: dataset.Decimal, Precision: 9, Scale: 2},
			{Name: "ok", Type: dataset.Boolean},
			{Name: "text", Type: dataset.String},
		},
		Process: dataset.Process{Location: time.UTC, Drop: []string{"junk"}},
	}
	for i := range d.Columns {
		d.Columns[i].Source = d.Columns[i].Name
	}
	return d
}

// result is what became of some records, as text.
type result struct {
	Rows    []string // the values of a row, in the order of the contract, then its ordinal
	Rejects []string // ordinal reason column original day
	Details []string
	Sheet   events.Sheet
}

type upper struct{}

func (upper) Append(_ context.Context, dst []byte, values [][]byte) ([]byte, error) {
	for _, v := range values {
		dst = append(dst, shown(string(v))...)
	}
	return dst, nil
}

// shown is the value in capitals, as long as a pseudonym.
func shown(value string) string {
	return fmt.Sprintf("%-*s", vector.PseudonymBytes, "<"+strings.ToUpper(value)+">")
}

// parse reads blocks of one file, the first with its header.
func parse(t testing.TB, d *dataset.Dataset, key string, blocks ...string) result {
	t.Helper()
	w, err := window.Parse(key)
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(d, w, upper{})
	if err != nil {
		t.Fatal(err)
	}
	var r result
	for i, b := range blocks {
		skip := 0
		if i == 0 && d.Collect.Format.Header {
			skip = strings.Index(b, "\n") + 1
			if err := p.Header([]byte(strings.TrimSuffix(b[:skip], "\n"))); err != nil {
				t.Fatal(err)
			}
		}
		batch, err := p.Block(t.Context(), []byte(b), skip, func(reject Reject) error {
			r.Rejects = append(r.Rejects, strings.TrimSpace(fmt.Sprintf("%d %s %s %q %s", reject.Ordinal, reject.Reason, reject.Column, reject.Original, reject.Day)))
			r.Details = append(r.Details, reject.Detail)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		r.Rows = append(r.Rows, rows(batch)...)
		batch.Release()
	}
	r.Sheet = p.Sheet()
	return r
}

func rows(batch arrow.RecordBatch) []string {
	all := []string{}
	for i := range int(batch.NumRows()) {
		values := make([]string, batch.NumCols())
		for c, column := range batch.Columns() {
			values[c] = column.ValueStr(i)
		}
		all = append(all, strings.Join(values, " "))
	}
	return all
}

const header = "date,delay,distance,origin,destination\n"

func TestBlock(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(d *dataset.Dataset)
		in      string // after the header
		rows    []string
		rejects []string
		details []string
		sheet   events.Sheet
	}{
		"rows": {
			in:    "2001-01-05 00:01:00,33,2176,LAS,PHL\n2001-01-05 23:59:59,-19,215,ATL,SAV",
			rows:  []string{"2001-01-05T00:01:00Z 33 2176 LAS PHL 0", "2001-01-05T23:59:59Z -19 215 ATL SAV 1"},
			sheet: events.Sheet{"2001-01-05": {Read: 2, Stored: 2}},
		},
		"nothing": {sheet: events.Sheet{}},
		"quotes, an empty text and nulls": {
			in:    "\"2001-01-05 00:01:00\",,\"215\",\"A\"\"B,\nC\",\"\"\r\n2001-01-05 00:02:00,\"\",,X,\r\n",
			rows:  []string{"2001-01-05T00:01:00Z (null) 215 A\"B,\nC  0", "2001-01-05T00:02:00Z (null) (null) X (null) 1"},
			sheet: events.Sheet{"2001-01-05": {Read: 2, Stored: 2}},
		},
		"a wrong type, an overflow and a missing value": {
			in: "2001-01-05 00:01:00,soon,1,A,B\n2001-01-05 00:02:00,1,9223372036854775808,A,B\n2001-01-05 00:03:00,1,1,,B\nnever,1,1,A,B\n,1,1,A,B\n2001-01-05 00:04:00,4,4,A,B\n",
			rows: []string{
				"2001-01-05T00:04:00Z 4 4 A B 5",
			},
			rejects: []string{
				`0 type delay "2001-01-05 00:01:00,soon,1,A,B" 2001-01-05`,
				`1 overflow distance "2001-01-05 00:02:00,1,9223372036854775808,A,B" 2001-01-05`,
				`2 missing origin "2001-01-05 00:03:00,1,1,,B" 2001-01-05`,
				`3 type date "never,1,1,A,B"`,
				`4 missing date ",1,1,A,B"`,
			},
			details: []string{
				`"soon" is not an integer of 64 bits`,
				`"9223372036854775808" does not fit an integer of 64 bits`,
				`the column is required, and the record has no value for it`,
				`"never" is not a timestamp of the form ["2006-01-02 15:04:05"]`,
				`the column is required, and the record has no value for it`,
			},
			sheet: events.Sheet{"2001-01-05": {Read: 4, Stored: 1, Quarantined: 3}, "unknown": {Read: 2, Quarantined: 2}},
		},
		"ragged records, wrong quotes, NUL and other encodings": {
			in:   "2001-01-05 00:01:00,1,1,A\n2001-01-05 00:02:00,1,1,A,B,C\n2001-01-05 00:03:00,1,1,\"A,B\n2001-01-05 00:04:00,1,1,\"A\"x,B\n2001-01-05 00:05:00,1,1,A\"x,B\n2001-01-05 00:06:00,1,1,A\x00,B\n2001-01-05 00:07:00,1,1,A,B\xff\n2001-01-05 00:08:00,1,1,Ä,😀\n",
			rows: []string{"2001-01-05T00:08:00Z 1 1 Ä 😀 7"},
			rejects: []string{
				`0 ragged  "2001-01-05 00:01:00,1,1,A"`, `1 ragged  "2001-01-05 00:02:00,1,1,A,B,C"`, `2 unterminated_quote  "2001-01-05 00:03:00,1,1,\"A,B"`,
				`3 bad_quote  "2001-01-05 00:04:00,1,1,\"A\"x,B"`, `4 bad_quote  "2001-01-05 00:05:00,1,1,A\"x,B"`,
				`5 nul origin "2001-01-05 00:06:00,1,1,A\x00,B"`, `6 invalid_utf8 destination "2001-01-05 00:07:00,1,1,A,B\xff"`,
			},
			details: []string{
				"the record has 4 fields, not 5", "the record has 6 fields, not 5",
				"a quoted field does not end on this line, nor well on a later one; the next record was read from the next line",
				"a closing quote is followed by neither a delimiter nor the end of the line; double quotes inside a quoted field",
				"a quote stands inside a field that does not begin with one; put the field in quotes and double the quote",
				"byte 25 of the record is NUL", "byte 27 of the record, 0xff, is not UTF-8; convert the file to UTF-8",
			},
			sheet: events.Sheet{"2001-01-05": {Read: 1, Stored: 1}, "unknown": {Read: 7, Quarantined: 7}},
		},
		"event times around the window, with lateness": {
			change: func(d *dataset.Dataset) { d.Collect.Lateness = 24 * time.Hour },
			in:     "2001-01-03 23:59:59,1,1,A,B\n2001-01-04 00:00:00,1,1,A,B\n2001-01-05 23:59:59,1,1,A,B\n2001-01-06 00:00:00,1,1,A,B\n",
			rows:   []string{"2001-01-04T00:00:00Z 1 1 A B 1", "2001-01-05T23:59:59Z 1 1 A B 2"},
			rejects: []string{
				`0 event_time_outside_window date "2001-01-03 23:59:59,1,1,A,B"`, `3 event_time_outside_window date "2001-01-06 00:00:00,1,1,A,B"`,
			},
			details: []string{
				"2001-01-03T23:59:59Z does not lie in [2001-01-04T00:00:00Z, 2001-01-06T00:00:00Z)", "2001-01-06T00:00:00Z does not lie in [2001-01-04T00:00:00Z, 2001-01-06T00:00:00Z)",
			},
			sheet: events.Sheet{"2001-01-04": {Read: 1, Stored: 1}, "2001-01-05": {Read: 1, Stored: 1}, "unknown": {Read: 2, Quarantined: 2}},
		},
		"white space, texts for null, and defaults": {
			change: func(d *dataset.Dataset) {
				zero := "0"
				d.Process.Trim, d.Collect.Format.Null = true, []string{"", "NA", "-99"}
				d.Columns[1].Default = &zero
			},
			in:    " 2001-01-05 00:01:00 ,\t7 ,-99, A B\t,NA\n2001-01-05 00:02:00,NA,1,x,\" \"\n2001-01-05 00:03:00,,1,\" q \",y\n",
			rows:  []string{"2001-01-05T00:01:00Z 7 (null) A B (null) 0", "2001-01-05T00:02:00Z 0 1 x (null) 1", "2001-01-05T00:03:00Z 0 1 q y 2"},
			sheet: events.Sheet{"2001-01-05": {Read: 3, Stored: 3}},
		},
		"white space stays unless trimmed": {
			in:      "2001-01-05 00:01:00,1,1, A ,\" \"\n2001-01-05 00:02:00, 1,1,A,B\n",
			rows:    []string{"2001-01-05T00:01:00Z 1 1  A    0"},
			rejects: []string{`1 type delay "2001-01-05 00:02:00, 1,1,A,B" 2001-01-05`},
			details: []string{`" 1" is not an integer of 64 bits`},
			sheet:   events.Sheet{"2001-01-05": {Read: 2, Stored: 1, Quarantined: 1}},
		},
		"filters count, even where another value is wrong": {
			change: func(d *dataset.Dataset) {
				d.Process.Filters = []dataset.Filter{{Column: "origin", Op: "in", Values: []string{"XXX", "YYY"}}, {Column: "delay", Op: ">", Values: []string{"100"}}, {Column: "distance", Op: "null"}}
			},
			in:      "2001-01-05 00:01:00,1,1,XXX,B\n2001-01-05 00:02:00,soon,1,YYY,B\n2001-01-05 00:03:00,101,1,A,B\n2001-01-05 00:04:00,100,,A,B\n2001-01-05 00:05:00,,far,A,B\n2001-01-05 00:06:00,,1,A,B\nnever,1,1,XXX,B\n",
			rows:    []string{"2001-01-05T00:06:00Z (null) 1 A B 5"},
			rejects: []string{`4 type distance "2001-01-05 00:05:00,,far,A,B" 2001-01-05`},
			details: []string{`"far" is not an integer of 64 bits`},
			sheet:   events.Sheet{"2001-01-05": {Read: 6, Stored: 1, Quarantined: 1, Filtered: 4}, "unknown": {Read: 1, Filtered: 1}},
		},
		"personal values become pseudonyms, and are not shown": {
			change: func(d *dataset.Dataset) {
				d.Columns[3].Classification, d.Columns[4].Classification = "personal", "pii"
				d.Process.Filters = []dataset.Filter{{Column: "origin", Op: "==", Values: []string{"ann"}}}
				d.Key = []string{"origin"}
			},
			in:      "2001-01-05 00:01:00,1,1,bob,\n2001-01-05 00:02:00,1,1,ann,x\n2001-01-05 00:03:00,1,1,\"\",x\n2001-01-05 00:04:00,1,1,eve,\"\"\n",
			rows:    []string{"2001-01-05T00:01:00Z 1 1 " + shown("bob") + " (null) 0", "2001-01-05T00:04:00Z 1 1 " + shown("eve") + " " + shown("") + " 3"},
			rejects: []string{`2 missing origin "2001-01-05 00:03:00,1,1,\"\",x" 2001-01-05`},
			details: []string{"the column is required, and the record has no value for it"},
			sheet:   events.Sheet{"2001-01-05": {Read: 4, Stored: 2, Quarantined: 1, Filtered: 1}},
		},
		"long values are cut where they are shown": {
			in:      "2001-01-05 00:01:00," + strings.Repeat("ä", 50) + ",1,A,B\n",
			rejects: []string{`0 type delay "2001-01-05 00:01:00,` + strings.Repeat("ä", 50) + `,1,A,B" 2001-01-05`},
			details: []string{`"` + strings.Repeat("ä", 32) + `"… (100 bytes) is not an integer of 64 bits`},
			sheet:   events.Sheet{"2001-01-05": {Read: 1, Quarantined: 1}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := flights()
			if c.change != nil {
				c.change(d)
			}
			want := result{c.rows, c.rejects, c.details, c.sheet}
			if got := parse(t, d, "2001-01-05", header+c.in); !equal(got, want) {
				t.Errorf("Block(%q):\n%s", c.in, cmp.Diff(want, got))
			}
		})
	}
}

func equal(a, b result) bool {
	return fmt.Sprint(a.Rows, a.Rejects, a.Details, a.Sheet) == fmt.Sprint(b.Rows, b.Rejects, b.Details, b.Sheet)
}

func TestHeader(t *testing.T) {
	zero := "0"
	for name, c := range map[string]struct {
		change func(d *dataset.Dataset)
		header string
		record string
		want   string // the row, or reason and a part of the detail
	}{
		"columns in another order": {nil, "origin,destination,delay,distance,date", "A,B,1,2,2001-01-05 00:00:00", "2001-01-05T00:00:00Z 1 2 A B 0"},
		"quotes and white space":   {nil, "\"date\", delay,distance ,\"origin\",destination", "2001-01-05 00:00:00,1,2,A,B", "2001-01-05T00:00:00Z 1 2 A B 0"},
		"another name": {func(d *dataset.Dataset) { d.Columns[1].Source = "DELAY, MIN" }, "date,\"DELAY, MIN\",distance,origin,destination", "2001-01-05 00:00:00,1,2,A,B",
			"2001-01-05T00:00:00Z 1 2 A B 0"},
		"a dropped column": {func(d *dataset.Dataset) { d.Process.Drop = []string{"carrier", "tail"} }, "date,delay,carrier,distance,origin,destination",
			"2001-01-05 00:00:00,1,\"x,y\",2,A,B", "2001-01-05T00:00:00Z 1 2 A B 0"},
		"a column by default":          {func(d *dataset.Dataset) { d.Columns[1].Default, d.Columns[4].Default = &zero, &zero }, "date,distance,origin", "2001-01-05 00:00:00,2,A", "2001-01-05T00:00:00Z 0 2 A 0 0"},
		"a missing column":             {nil, "date,distance,origin,destination", "", `missing_column: the header has no column "delay", which line 11 of contract.yaml needs`},
		"an unknown column":            {nil, "date,delay,distance,origin,destination,carrier", "", `unknown_column: the header names the column "carrier", which the contract does not have`},
		"a column without name":        {nil, "date,delay,distance,origin,destination,", "", `unknown_column: the header names the column "",`},
		"a column twice":               {nil, "date,delay,date,distance,origin,destination", "", `duplicate_column: the header names the column "date" twice, as fields 1 and 3`},
		"a header whose quote is open": {nil, "date,\"delay,distance,origin,destination", "", "bad_header: the first record, the header, cannot be read"},
		"a header whose quote is bare": {nil, "date,de\"lay,distance,origin,destination", "", "bad_header: the first record, the header, cannot be read"},
		"no header":                    {nil, "", "", "bad_header: the first record, the header, cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			d := flights()
			if c.change != nil {
				c.change(d)
			}
			w, _ := window.Parse("2001-01-05")
			p, err := New(d, w, nil)
			if err != nil {
				t.Fatal(err)
			}
			var got string
			if mismatch, ok := errors.AsType[*MismatchError](p.Header([]byte(c.header))); ok {
				got = mismatch.Reason + ": " + mismatch.Error()
			} else {
				batch, err := p.Block(t.Context(), []byte(c.record), 0, func(r Reject) error { return fmt.Errorf("%+v", r) })
				if err != nil {
					t.Fatal(err)
				}
				got = strings.Join(rows(batch), "\n")
			}
			if !strings.HasPrefix(got, c.want) {
				t.Errorf("Header(%q) = %s, want %s", c.header, got, c.want)
			}
		})
	}
}

func TestWithoutHeaderColumnsComeInTheOrderOfTheContract(t *testing.T) {
	d := flights()
	d.Collect.Format.Header = false
	got := parse(t, d, "2001-01-05", "2001-01-05 00:00:00,1,2,A,B\n2001-01-05 00:00:00,1,2,A\n")
	if fmt.Sprint(got.Rows, got.Details) != "[2001-01-05T00:00:00Z 1 2 A B 0] [the record has 4 fields, not 5]" {
		t.Errorf("Block() = %q, %q", got.Rows, got.Details)
	}
}

func TestObjects(t *testing.T) {
	for in, want := range map[string]string{
		`{"day":"2001-01-05","at":"2001-01-05T06:07:08Z","n":-5,"x":1.5e3,"price":12.5,"ok":true,"text":"a"}`: "2001-01-05 2001-01-05T06:07:08Z -5 1500 12.5 true a 0",
		" { \"day\" : \"2001-01-05\" , \"n\" : 0 }\t":                                                         "2001-01-05 (null) 0 (null) (null) (null) (null) 0",
		`{"text":"","day":"2001-01-05","n":null}`:                                                             "2001-01-05 (null) (null) (null) (null) (null)  0",
		`{"day":"2001-01-05","text":"a\"\\\/\b\f\n\r\t\u00e4\ud83d\ude00","n":"7","ok":false,"price":"0.10"}`: "2001-01-05 (null) 7 (null) 0.1 false a\"\\/\b\f\n\r\tä😀 0",
		`{"d\u0061y":"2001-01-05","junk":{"a":[1,"}",{"b":null}]},"n":1}`:                                     "2001-01-05 (null) 1 (null) (null) (null) (null) 0",
		`{"day":"2001-01-05","junk":"\u0000"}`:                                                                "2001-01-05 (null) (null) (null) (null) (null) (null) 0",
		`{"day":"2001-01-05","n":1.5}`:                                                                        `type n: "1.5" is not an integer of 64 bits`,
		`{"day":"2001-01-05","n":true}`:                                                                       `type n: "true" is not an integer of 64 bits`,
		`{"day":"2001-01-05","n":9223372036854775808}`:                                                        `overflow n: "9223372036854775808" does not fit an integer of 64 bits`,
		`{"day":"2001-01-05","price":0.125}`:                                                                  `overflow price: "0.125" does not fit 9 digits, 2 of them after the point`,
		`{"day":"2001-01-05","text":5}`:                                                                       `type text: "5" is not a text`,
		`{"day":"2001-01-05","text":{"a":1}}`:                                                                 `type text: "{\"a\":1}" is not a text`,
		`{"day":"2001-01-05","n":[1]}`:                                                                        `type n: "[1]" is not an integer of 64 bits`,
		`{"day":"2001-01-05","text":"a\u0000"}`:                                                               `nul text: the value has a NUL character`,
		`{"n":1}`:                                                                                             `missing day: the column is required, and the record has no value for it`,
		`{"day":"2001-01-05","n":1,"n":1}`:                                                                    `duplicate_field n: the object has the key "n" twice`,
		`{"day":"2001-01-05","n":null,"n":1}`:                                                                 `duplicate_field n: the object has the key "n" twice`,
		`{"day":"2001-01-05","text":"","text":""}`:                                                            `duplicate_field text: the object has the key "text" twice`,
		`{"day":"2001-01-05","more":1}`:                                                                       `unknown_column : the contract has no column "more": declare it in contract.yaml, or list it under process.drop in pipeline.yaml`,
		`{"day":"2001-01-05","":1}`:                                                                           `unknown_column : the contract has no column "": declare it in contract.yaml, or list it under process.drop in pipeline.yaml`,
		`{"day":"2001-01-05",}`:                                                                               `json : the record is not one JSON object: a key is missing at byte 20`,
		`{"day":"2001-01-05"`:                                                                                 `json : the record is not one JSON object: , or } is missing at byte 19`,
		`{"day":"2001-01-05"} {}`:                                                                             `json : the record is not one JSON object: there is text behind the object at byte 21`,
		`{"day" "2001-01-05"}`:                                                                                `json : the record is not one JSON object: : is missing at byte 7`,
		`[1]`:                                                                                                 `json : the record is not one JSON object: { is missing at byte 0`,
		`null`:                                                                                                `json : the record is not one JSON object: { is missing at byte 0`,
		`{"n":01}`:                                                                                            `json n: the record is not one JSON object: there is no JSON number at byte 7`,
		`{"n":1.}`:                                                                                            `json n: the record is not one JSON object: there is no JSON number at byte 7`,
		`{"n":-}`:                                                                                             `json n: the record is not one JSON object: there is no JSON number at byte 6`,
		`{"n":NaN}`:                                                                                           `json n: the record is not one JSON object: there is no JSON value at byte 5`,
		`{"n":`:                                                                                               `json n: the record is not one JSON object: a value is missing at byte 5`,
		`{"text":"a}`:                                                                                         `json text: the record is not one JSON object: a string does not end at byte 11`,
		`{"text":"\ud800"}`:                                                                                   `json text: the record is not one JSON object: there is a wrong escape in a string at byte 15`,
		`{"text":"\x"}`:                                                                                       `json text: the record is not one JSON object: there is a wrong escape in a string at byte 11`,
		"{\"text\":\"a\tb\"}":                                                                                 `json text: the record is not one JSON object: there is a control character in a string at byte 10`,
		`{"junk":[1,}`:                                                                                        `json : the record is not one JSON object: there is a broken object or array (invalid character '}' looking for beginning of value) at byte 8`,
		`{"day":"2001-02-01"}`:                                                                                `event_time_outside_window day: 2001-02-01T00:00:00Z does not lie in [2001-01-01T00:00:00Z, 2001-02-01T00:00:00Z)`,
		"{\"day\":\"2001-01-05\",\"text\":\"a\xff\"}":                                                         `invalid_utf8 : byte 29 of the record, 0xff, is not UTF-8; convert the file to UTF-8`,
		"{\"day\":\"2001-01-05\",\"text\":\"a\x00\"}":                                                         `nul : byte 29 of the record is NUL`,
		`{"day":"2001-01-05","` + "\u00e4" + `":1}`:                                                           `unknown_column : the contract has no column "ä": declare it in contract.yaml, or list it under process.drop in pipeline.yaml`,
		`{"day":"2001-01-05","n":1e2}`:                                                                        `type n: "1e2" is not an integer of 64 bits`,
		`{"day":"2001-01-05","ok":"maybe"}`:                                                                   `type ok: "maybe" is not true or false`,
		`{"day":"2001-01-05T06:00:00Z"}`:                                                                      `type day: "2001-01-05T06:00:00Z" is not a date`,
		`{"day":"2001-01-05","at":"2001-01-05T25:00:00Z"}`:                                                    `type at: "2001-01-05T25:00:00Z" is not a timestamp`,
	} {
		got := parse(t, sparse(), "2001-01", in)
		if len(got.Rows) == 1 && got.Rows[0] == want {
			continue
		}
		text := strings.Join(got.Rows, "\n")
		if len(got.Rejects) == 1 {
			parts := strings.SplitN(got.Rejects[0], " ", 4)
			text = parts[1] + " " + parts[2] + ": " + got.Details[0]
		}
		if text != want {
			t.Errorf("%s\n got %s\nwant %s", in, text, want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	w, _ := window.Parse("2001-01-05")
	for name, change := range map[string]func(d *dataset.Dataset){
		"no event time":            func(d *dataset.Dataset) { d.Collect.EventTime = "when" },
		"an unknown type":          func(d *dataset.Dataset) { d.Columns[1].Type = "map" },
		"a personal number":        func(d *dataset.Dataset) { d.Columns[1].Classification = "personal" },
		"a personal text, keyless": func(d *dataset.Dataset) { d.Columns[3].Classification = "personal" },
		"a filter on nothing":      func(d *dataset.Dataset) { d.Process.Filters = []dataset.Filter{{Column: "no", Op: "null"}} },
		"a filter without value":   func(d *dataset.Dataset) { d.Process.Filters = []dataset.Filter{{Column: "delay", Op: "<"}} },
		"a filter of no type": func(d *dataset.Dataset) {
			d.Process.Filters = []dataset.Filter{{Column: "delay", Op: "in", Values: []string{"x"}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := flights()
			change(d)
			if _, err := New(d, w, nil); err == nil || !strings.Contains(err.Error(), events.ErrInvalid.Error()) {
				t.Errorf("New() = %v, want invalid", err)
			}
		})
	}
}

func TestFilters(t *testing.T) {
	const low, high = `{"day":"2001-01-05","at":"2001-01-05T06:00:00Z","n":1,"x":0.5,"price":1.50,"ok":false,"text":"a"}`, `{"day":"2001-01-06","at":"2001-01-06T06:00:00Z","n":2,"x":1.5,"price":2.50,"ok":true,"text":"b"}`
	for _, c := range []struct {
		column, op, values string
		kept               int // bit 0: low, bit 1: high, bit 2: only a day
	}{
		{"day", "<", "2001-01-06", 6}, {"day", ">=", "2001-01-06", 1}, {"at", "<=", "2001-01-05T06:00:00Z", 6}, {"at", "==", "2001-01-06T06:00:00Z", 5},
		{"n", "!=", "1", 5}, {"n", ">", "1", 5}, {"n", "in", "3 2 1", 4}, {"x", "<", "1", 6}, {"price", "==", "2.5", 5}, {"price", ">", "1.49", 4}, {"ok", "==", "true", 5},
		{"ok", "!=", "true", 6}, {"text", "==", "a", 6}, {"text", ">", "a", 5}, {"text", "null", "", 3}, {"n", "not_null", "", 4}, {"day", "not_null", "", 0},
	} {
		d := sparse()
		d.Process.Filters = []dataset.Filter{{Column: c.column, Op: c.op, Values: strings.Fields(c.values)}}
		got := parse(t, d, "2001-01", low+"\n"+high+"\n"+`{"day":"2001-01-07"}`)
		kept := 0
		for _, row := range got.Rows {
			kept |= 1 << (row[len(row)-1] - '0')
		}
		if total := got.Sheet.Total(); kept != c.kept || total.Filtered+total.Stored != 3 {
			t.Errorf("%s %s %s keeps %03b, want %03b (%v)", c.column, c.op, c.values, kept, c.kept, got.Details)
		}
	}
}

func TestNullsOfEveryType(t *testing.T) {
	d := sparse()
	minus := "-1"
	d.Collect.Format.Null = []string{"0", "1970-01-01", "no", "12345678"}
	d.Columns[2].Default = &minus
	got := parse(t, d, "2001-01", `{"day":"2001-01-05","at":"1970-01-01","n":"0","x":"0","price":"0","ok":"no","text":"12345678"}`)
	if want := "2001-01-05 (null) -1 (null) (null) (null) (null) 0"; len(got.Rows) != 1 || got.Rows[0] != want {
		t.Errorf("Block() = %q, %q, want %q", got.Rows, got.Details, want)
	}
}

func TestRowsThatGrowWithoutBoundAreAnError(t *testing.T) {
	d := sparse()
	long, day := strings.Repeat("long", 1000), "2001-01-05"
	d.Columns[0].Default, d.Columns[6].Default = &day, &long
	w, _ := window.Parse("2001-01")
	p, err := New(d, w, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Block(t.Context(), []byte(strings.Repeat("{}\n", 100000)), 0, nil)
	if mismatch, ok := errors.AsType[*MismatchError](err); !ok || mismatch.Reason != "rows_too_large" {
		t.Errorf("Block() = %v, want rows_too_large", err)
	}
}
