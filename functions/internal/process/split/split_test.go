package split

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/almanac-data/almanac/functions/internal/dataset"
)

// fields lists the fields of all records of a block as text, and a flaw's reason for a record that has none.
func fields(c *Chunk, block string) []string {
	got := []string{}
	// A block is looked at eight bytes at a time, so what lies behind it must not count.
	data := append(make([]byte, 0, len(block)+16), block...)
	copy(data[len(data):cap(data)], ",\n\",\n\",\n\",\n\",\n\"")
	for c.Start(data, 0); c.Next(); {
		flaws := c.Flaws
		for i := range c.N {
			if len(flaws) > 0 && flaws[0].Record == i {
				got = append(got, "!"+flaws[0].Reason)
				flaws = flaws[1:]
				continue
			}
			var texts []string
			for _, f := range c.row(i) {
				texts = append(texts, fmt.Sprintf("%d%s", f.Kind()>>kindShift, c.Text[f.Start():f.End()]))
			}
			got = append(got, strings.Join(texts, "|"))
		}
	}
	return got
}

func TestLinesAreSplitAsByHand(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	parts := []string{"a", "", "long enough for more than eight", ",", ",", ",", "\n", "\r\n", "\r", ";", "-", "\xe4", "\n\n"}
	f := dataset.Format{Kind: "csv", Delimiter: ',', Quote: '"'}
	for range 20000 {
		var b strings.Builder
		for range r.IntN(30) {
			b.WriteString(parts[r.IntN(len(parts))])
		}
		text := strings.ToValidUTF8(b.String(), "ä")
		var want []string
		for line := range strings.SplitSeq(text, "\n") {
			if line = strings.TrimSuffix(line, "\r"); line == "" {
				continue
			}
			got := strings.Split(line, ",")
			if len(got) != 3 {
				want = append(want, "!ragged")
				continue
			}
			want = append(want, "1"+strings.Join(got, "|1"))
		}
		if got := fields(New(f, make([]string, 3), nil), text); !slices.Equal(got, want) {
			t.Fatalf("%q is split into %q, want %q", text, got, want)
		}
	}
}

func TestQuickReadsAsTheReaderDoes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	f := dataset.Format{Kind: "ndjson"}
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	for range 5000 {
		var lines []string
		for range 1 + r.IntN(6) {
			var members []string
			for _, key := range []string{`"a"`, `"b\""`, `"long name"`, `"drop"`} {
				if r.IntN(5) > 0 {
					members = append(members, key+pick(":", ": ", " :")+pick(`"x"`, `"eight ch"`, `"nine char"`, `"\n"`, `"ä"`, `""`, "1", "-0", "01", "-", "12.5", "1e9", "1.", "true", "false", "null", "tru", "[1]", "{}", "\"\t\"", `"open`))
				}
			}
			if r.IntN(4) == 0 {
				r.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
			}
			lines = append(lines, pick("{", "{", "{ ", "")+strings.Join(members, pick(",", ", ", " ,"))+pick("}", "}", " }", "} x", ""))
		}
		names, dropped := []string{"a", `b"`, "long name"}, []string{"drop"}
		var want []string
		for _, line := range lines {
			want = append(want, fields(New(f, names, dropped), line)...) // a new chunk knows no keys
		}
		if got := fields(New(f, names, dropped), strings.Join(lines, "\n")); !slices.Equal(got, want) {
			t.Fatalf("%q is read as\n%q, one by one as\n%q", lines, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	f := dataset.Format{Kind: "csv", Delimiter: ';', Quote: '\''}
	for in, want := range map[string][]string{
		"a": {"a"}, "a;;b": {"a", "", "b"}, "'a;b';'c''d'": {"a;b", "c'd"}, "'a\nb';c": {"a\nb", "c"}, "a;'b": nil, "a'b": nil, "'a'b": nil, "": nil,
	} {
		if got, ok := Names(f, []byte(in)); ok != (want != nil) || ok && !slices.Equal(got, want) {
			t.Errorf("Names(%q) = %q, %v, want %q", in, got, ok, want)
		}
	}
}
