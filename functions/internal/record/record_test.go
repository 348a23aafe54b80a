package record

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/almanac-data/almanac/functions/internal/dataset"
)

var csvFormat = dataset.Format{Kind: "csv", Delimiter: ',', Quote: '"', Header: true}

// all lists the records of a block with their flaws, as text: "2:a,b" is a,b with flaw 2.
func all(f dataset.Format, block string, first bool) []string {
	got := []string{}
	for s := Scan(f, []byte(block), first); s.Next(); {
		got = append(got, string('0'+byte(s.Flaw))+":"+block[s.Start:s.End])
	}
	return got
}

func TestScan(t *testing.T) {
	semicolon := dataset.Format{Kind: "csv", Delimiter: ';', Quote: '\''}
	never := dataset.Format{Kind: "csv", Delimiter: ','}
	lines := dataset.Format{Kind: NDJSON}
	for name, c := range map[string]struct {
		format dataset.Format
		in     string
		first  bool
		want   []string
	}{
		"nothing holds no record":                               {csvFormat, "", false, nil},
		"a last line needs no newline":                          {csvFormat, "a,b\nc,d", false, []string{"0:a,b", "0:c,d"}},
		"LF and CRLF may be mixed":                              {csvFormat, "a,b\r\nc,d\ne,f\r\n", false, []string{"0:a,b", "0:c,d", "0:e,f"}},
		"blank lines are skipped":                               {csvFormat, "\n\r\na\n\n\r\nb\n\n", false, []string{"0:a", "0:b"}},
		"a quoted field may hold delimiters and newlines":       {csvFormat, "a,\"b\r\nc,\",d\ne\n", false, []string{"0:a,\"b\r\nc,\",d", "0:e"}},
		"a doubled quote stands for a quote":                    {csvFormat, "\"a\"\"\nb\"\nc\n", false, []string{"0:\"a\"\"\nb\"", "0:c"}},
		"an empty quoted field is a record":                     {csvFormat, "\"\"\r\n\"\"\n\"\"", false, []string{"0:\"\"", "0:\"\"", "0:\"\""}},
		"a quote inside an unquoted field opens nothing":        {csvFormat, "a\"b\nc\n", false, []string{"0:a\"b", "0:c"}},
		"an unterminated quote costs one line":                  {csvFormat, "a,\"b\nc,d\ne,f\n", false, []string{"1:a,\"b", "0:c,d", "0:e,f"}},
		"an unterminated quote that a later quote meets":        {csvFormat, "a,\"b\nc,\"d\"\ne,f\n", false, []string{"1:a,\"b", "0:c,\"d\"", "0:e,f"}},
		"unterminated quotes in every line":                     {csvFormat, "a,\"b\na,\"c\na,\"d\n", false, []string{"1:a,\"b", "1:a,\"c", "1:a,\"d"}},
		"text after a closing quote costs one line":             {csvFormat, "a,\"b\"c,\"\nd,\"e\"\n", false, []string{"2:a,\"b\"c,\"", "0:d,\"e\""}},
		"a carriage return after a closing quote is text":       {csvFormat, "\"a\"\rb\nc\n", false, []string{"2:\"a\"\rb", "0:c"}},
		"an unterminated quote in the last line":                {csvFormat, "a\n\"b", false, []string{"0:a", "1:\"b"}},
		"another delimiter and quote":                           {semicolon, "a;'b;\n'';c'\n\"\n", false, []string{"0:a;'b;\n'';c'", "0:\""}},
		"without a quote every newline ends a record":           {never, "a,\"b\nc\"\n", false, []string{"0:a,\"b", "0:c\""}},
		"a file begins with a byte order mark and header":       {csvFormat, bom + "\n\"x\n\",y\na,b\n", true, []string{"0:a,b"}},
		"a block in a file begins with a record":                {csvFormat, "x,y\na,b\n", false, []string{"0:x,y", "0:a,b"}},
		"a header alone":                                        {csvFormat, "x,y", true, nil},
		"lines of JSON know no quotes":                          {lines, "{\"a\":\"\n\r\n \t\r\n{}\r\n", false, []string{"0:{\"a\":\"", "0:{}"}},
		"lines of JSON may begin with a byte order mark":        {lines, bom + "{}\n", true, []string{"0:{}"}},
		"a byte order mark within a file belongs to its record": {lines, bom + "{}\n", false, []string{"0:" + bom + "{}"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := all(c.format, c.in, c.first)
			if !slices.Equal(got, c.want) {
				t.Errorf("Scan(%q) = %q, want %q", c.in, got, c.want)
			}
		})
	}
}

func TestCut(t *testing.T) {
	for name, c := range map[string]struct {
		in       string
		want     int
		wantFull int
	}{
		"nothing":                               {"", 0, 0},
		"no line end":                           {"abc", 0, 0},
		"whole lines":                           {"a\nb\n", 4, 4},
		"lines and a start":                     {"a\nb\nc", 4, 4},
		"an open quote after a line":            {"a\n\"b\nc", 2, 2},
		"an open quote in the first record":     {"a,\"b\nc\nd", 0, 5},
		"an open quote without a line":          {"a,\"bcd", 0, 0},
		"a quote that may be the first of two":  {"\"a\nb\"", 0, 3},
		"a quoted newline":                      {"\"a\nb\"\nc", 6, 6},
		"a wrong quote ends its record's line":  {"\"a\"b\nc", 5, 5},
		"a wrong quote in a line that goes on":  {"a\nb,\"c\"d", 2, 2},
		"a wrong quote that shows on line two":  {"\"a\nb\"c", 3, 3},
		"a carriage return that may end a line": {"\"a\"\r", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Cut(csvFormat, []byte(c.in), false); got != c.want {
				t.Errorf("Cut(%q) = %d, want %d", c.in, got, c.want)
			}
			if got := Cut(csvFormat, []byte(c.in), true); got != c.wantFull {
				t.Errorf("Cut(%q, full) = %d, want %d", c.in, got, c.wantFull)
			}
		})
	}
}

func TestHeader(t *testing.T) {
	for name, c := range map[string]struct {
		format dataset.Format
		in     string
		want   string
		n      int
	}{
		"a plain header":         {csvFormat, "a,b\r\n1,2\n", "a,b", 5},
		"a byte order mark":      {csvFormat, bom + "a\n1\n", "a", 5},
		"blank lines before it":  {csvFormat, "\n\r\na\n1\n", "a", 5},
		"a header and no more":   {csvFormat, "a,b", "a,b", 3},
		"an empty file":          {csvFormat, "", "", 0},
		"a byte order mark only": {csvFormat, bom, "", 3},
		"no header declared":     {dataset.Format{Kind: "csv", Delimiter: ','}, bom + "1,2\n", "", 3},
		"lines of JSON":          {dataset.Format{Kind: NDJSON, Header: true}, "{}\n", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, n := Header(c.format, []byte(c.in))
			if string(got) != c.want || n != c.n {
				t.Errorf("Header(%q) = %q, %d, want %q, %d", c.in, got, n, c.want, c.n)
			}
		})
	}
}

// noise is text made of what matters to a CSV reader.
func noise(r *rand.Rand, n int) string {
	parts := []string{"a", "bc", ",", ",", "\n", "\n", "\r\n", "\"", "\"\"", ",\"", "\",", "\"\n", "\n\"", "\r"}
	var b strings.Builder
	for range n {
		b.WriteString(parts[r.IntN(len(parts))])
	}
	return b.String()
}

func TestCuttingAtAnyRecordEndGivesTheSameRecords(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		text := noise(r, r.IntN(60))
		want := all(csvFormat, text, false)
		for s := Scan(csvFormat, []byte(text), false); s.Next(); {
			at := s.w.pos
			if got := append(all(csvFormat, text[:at], false), all(csvFormat, text[at:], false)...); !slices.Equal(got, want) {
				t.Fatalf("cut at %d, %q gives %q, want %q", at, text, got, want)
			}
		}
		plain := strings.ReplaceAll(text, "\"", "")
		if got, want := stream(plain, 1+r.IntN(30)), all(csvFormat, plain, false); !slices.Equal(got, want) {
			t.Fatalf("read in pieces, %q gives %q, want %q", plain, got, want)
		}
	}
}

// stream cuts text with a buffer of the given size, as collect does, and scans the blocks.
func stream(text string, size int) []string {
	got := []string{}
	fragment := ""
	for at := 0; at < len(text); {
		buf := text[at:min(at+size, len(text))]
		n := len(buf)
		switch end := at+n == len(text); {
		case fragment != "":
			if k := Rest([]byte(buf)); k > 0 {
				got = append(got, all(csvFormat, fragment+buf[:k], false)...)
				n, fragment = k, ""
			} else if fragment += buf; end {
				got = append(got, all(csvFormat, fragment, false)...)
			}
		case !end:
			if n = Cut(csvFormat, []byte(buf), true); n == 0 {
				n, fragment = len(buf), buf
				break
			}
			fallthrough
		default:
			got = append(got, all(csvFormat, buf[:n], false)...)
		}
		at += n
	}
	return got
}

func FuzzScanAgreesWithEncodingCSV(f *testing.F) {
	for _, s := range []string{"a,b\n1,2\n", "\"a\nb\",c\r\n", "\"a\"\"\",\n\n\"\"", "a,\"b\nc,\"d\"\n", "\"a\"b\n"} {
		f.Add(s)
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		f.Add(noise(r, 40))
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := all(csvFormat, text, false)
		total := 0
		for _, rec := range got {
			total += len(rec) - 2
		}
		if ends := strings.Count(text, "\n") + strings.Count(text, "\r"); total > len(text) || total+ends < len(text) {
			t.Fatalf("%d of %d bytes lie in records", total, len(text))
		}
		reader := csv.NewReader(strings.NewReader(text))
		reader.FieldsPerRecord = -1
		var want [][]string
		for {
			rec, err := reader.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return // not valid: the reader stops where we go on
			}
			want = append(want, rec)
		}
		if len(got) != len(want) {
			t.Fatalf("%q has %d records %q, want %d", text, len(got), got, len(want))
		}
		for i, rec := range got {
			one, err := csv.NewReader(strings.NewReader(rec[2:] + "\r\n")).Read()
			if err != nil || !slices.Equal(one, want[i]) || rec[0] != '0' {
				t.Fatalf("record %d of %q is %q, want %q (%v)", i, text, rec, want[i], err)
			}
		}
	})
}

func BenchmarkCut(b *testing.B) {
	plain := bytes.Repeat([]byte("2001-01-01 00:01:00,14,405,MCI,MDW\n"), 15000)
	quoted := bytes.Repeat([]byte("\"2001-01-01 00:01:00\",14,\"405\",\"MCI\",\"MDW\"\n"), 12000)
	for name, data := range map[string][]byte{"plain": plain, "quoted": quoted} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if Cut(csvFormat, data, true) != len(data) {
					b.Fatal("not whole")
				}
			}
		})
		b.Run(name+"/scan", func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				for s := Scan(csvFormat, data, false); s.Next(); {
				}
			}
		})
	}
}
