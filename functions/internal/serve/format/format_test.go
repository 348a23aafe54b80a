package format

import (
	"bytes"
	stdcsv "encoding/csv"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

var schema = arrow.NewSchema([]arrow.Field{
	{Name: "n", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	{Name: "small", Type: arrow.PrimitiveTypes.Int32, Nullable: true},
	{Name: "share", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
	{Name: "ok", Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
	{Name: "price", Type: &arrow.Decimal128Type{Precision: 20, Scale: 2}, Nullable: true},
	{Name: "day", Type: arrow.FixedWidthTypes.Date32, Nullable: true},
	{Name: "at", Type: arrow.FixedWidthTypes.Timestamp_us, Nullable: true},
	{Name: "say \"hi\", you", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "raw", Type: arrow.BinaryTypes.Binary, Nullable: true},
	{Name: "many", Type: arrow.ListOf(arrow.PrimitiveTypes.Int64), Nullable: true},
}, nil)

func batch(t testing.TB) arrow.RecordBatch {
	t.Helper()
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	at := time.Date(2001, 1, 5, 6, 7, 8, 9000, time.UTC)
	add := func(n int64, share float64, s string) {
		b.Field(0).(*array.Int64Builder).Append(n)
		b.Field(1).(*array.Int32Builder).Append(7)
		b.Field(2).(*array.Float64Builder).Append(share)
		b.Field(3).(*array.BooleanBuilder).Append(n > 0)
		b.Field(4).(*array.Decimal128Builder).Append(decimal128.FromI64(-1205))
		b.Field(5).(*array.Date32Builder).Append(arrow.Date32FromTime(at))
		b.Field(6).(*array.TimestampBuilder).Append(arrow.Timestamp(at.UnixMicro()))
		b.Field(7).(*array.StringBuilder).Append(s)
		b.Field(8).(*array.BinaryBuilder).Append([]byte{0, 255})
		list := b.Field(9).(*array.ListBuilder)
		list.Append(true)
		list.ValueBuilder().(*array.Int64Builder).AppendValues([]int64{1, 2}, nil)
	}
	add(math.MaxInt64, 0.1, `a "b", c`+"\r\nd")
	add(-1, math.NaN(), "")
	add(0, math.Inf(1), " ä\x00\\ ")
	for i := range schema.Fields() {
		b.Field(i).AppendNull()
	}
	return b.NewRecordBatch()
}

func write(t testing.TB, name string) string {
	t.Helper()
	f, ok := ByName(name)
	if !ok {
		t.Fatalf("ByName(%q) found nothing", name)
	}
	var out bytes.Buffer
	w, err := f.New(&out, schema)
	if err != nil {
		t.Fatal(err)
	}
	rows := batch(t)
	defer rows.Release()
	for range 2 {
		if err := w.Write(rows); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestNDJSON(t *testing.T) {
	got := write(t, "ndjson")
	first := `{"n":9223372036854775807,"small":7,"share":0.1,"ok":true,"price":-12.05,"day":"2001-01-05","at":"2001-01-05T06:07:08.000009Z",` +
		`"say \"hi\", you":"a \"b\", c\r\nd","raw":"AP8=","many":[1,2]}`
	lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
	if len(lines) != 8 || lines[0] != first || lines[4] != first {
		t.Fatalf("NDJSON =\n%s\nwant 8 lines, the first\n%s", got, first)
	}
	for _, line := range lines {
		var row map[string]any
		if err := json.Unmarshal([]byte(line), &row); err != nil || len(row) != 10 {
			t.Errorf("line %s: %v, %d fields", line, err, len(row))
		}
	}
	for i, part := range map[int]string{1: `"share":null`, 2: `"share":null`, 3: `{"n":null,"small":null,"share":null,"ok":null,`} {
		if !strings.Contains(lines[i], part) {
			t.Errorf("line %d = %s, want %s in it", i, lines[i], part)
		}
	}
}

func TestCSV(t *testing.T) {
	got := write(t, "csv")
	records, err := stdcsv.NewReader(strings.NewReader(got)).ReadAll()
	if err != nil || len(records) != 9 {
		t.Fatalf("CSV = %d records, %v, want 9:\n%s", len(records), err, got)
	}
	want := [][]string{
		{"n", "small", "share", "ok", "price", "day", "at", `say "hi", you`, "raw", "many"},
		// encoding/csv reads \r\n within a field as \n.
		{"9223372036854775807", "7", "0.1", "true", "-12.05", "2001-01-05", "2001-01-05T06:07:08.000009Z", `a "b", c` + "\nd", "AP8=", "[1,2]"},
		{"-1", "7", "NaN", "false", "-12.05", "2001-01-05", "2001-01-05T06:07:08.000009Z", "", "AP8=", "[1,2]"},
		{"0", "7", "+Inf", "false", "-12.05", "2001-01-05", "2001-01-05T06:07:08.000009Z", " ä\x00\\ ", "AP8=", "[1,2]"},
		make([]string, 10),
	}
	for i, record := range want {
		if strings.Join(records[i], "|") != strings.Join(record, "|") {
			t.Errorf("record %d = %q, want %q", i, records[i], record)
		}
	}
	if !strings.Contains(got, `,"",AP8=`) || !strings.Contains(got, "\r\n,,,,,,,,,\r\n") {
		t.Errorf("CSV = %s, want the empty string as \"\" and null as nothing", got)
	}
}

func TestArrow(t *testing.T) {
	r, err := ipc.NewReader(strings.NewReader(write(t, "arrow")))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	want, n := batch(t), 0
	defer want.Release()
	for ; r.Next(); n++ {
		if !array.RecordApproxEqual(r.RecordBatch(), want, array.WithNaNsEqual(true)) {
			t.Errorf("batch %d = %v, want %v", n, r.RecordBatch(), want)
		}
	}
	if r.Err() != nil || n != 2 {
		t.Errorf("read %d batches, %v, want 2", n, r.Err())
	}
}

func TestAccepted(t *testing.T) {
	tests := map[string]struct {
		accept string
		want   string // empty: none
	}{
		"nothing said is NDJSON":                      {"", "ndjson"},
		"anything is NDJSON":                          {"*/*", "ndjson"},
		"what is named":                               {"text/csv", "csv"},
		"any text is CSV":                             {"text/*", "csv"},
		"the greater quality wins":                    {"text/csv;q=0.2, application/vnd.apache.arrow.stream;q=0.9", "arrow"},
		"a name counts more than a range":             {"application/x-ndjson;q=0.1, */*;q=0.5", "csv"},
		"what has quality 0 is not wanted":            {"application/x-ndjson;q=0, text/csv;q=0", ""},
		"a browser gets what it can show as anything": {"text/html,application/xhtml+xml,*/*;q=0.8", "ndjson"},
		"an image there is not":                       {"image/png", ""},
		"garbage is passed over":                      {";;;, text/csv;q=x, text/csv;q=0.3", "csv"},
	}
	for name, tt := range tests {
		got, ok := Accepted(tt.accept)
		if got.Name != tt.want || ok != (tt.want != "") {
			t.Errorf("%s: Accepted(%q) = %q, %v, want %q", name, tt.accept, got.Name, ok, tt.want)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	rows := batch(b)
	defer rows.Release()
	for _, f := range All {
		b.Run(f.Name, func(b *testing.B) {
			w, err := f.New(new(discard), schema)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if err := w.Write(rows); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

type discard struct{}

func (*discard) Write(p []byte) (int, error) { return len(p), nil }

// FuzzString: what is valid UTF-8 comes back from JSON as it was.
func FuzzString(f *testing.F) {
	f.Add("a \"b\"\\\n\r\t\x00\x1f\u2028ä")
	f.Add("\xff\xfe")
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		if err := json.Unmarshal(appendString(nil, []byte(s)), &got); err != nil || got != strings.ToValidUTF8(s, "\uFFFD") {
			t.Errorf("appendString(%q) reads as %q, %v", s, got, err)
		}
	})
}
