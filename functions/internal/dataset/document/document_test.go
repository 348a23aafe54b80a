package document

import (
	"slices"
	"strings"
	"testing"
)

func parse(t *testing.T, text string) (Node, *Mistakes) {
	t.Helper()
	m := &Mistakes{}
	root, ok := Parse(m, "f.yaml", []byte(text))
	if !ok {
		t.Fatalf("Parse(%q): %v", text, m.Err())
	}
	return root, m
}

func TestParseRefusesWhatIsNotOneMapping(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "f.yaml:1: the file is empty; ",
		"# nothing":                     "f.yaml:1: the file is empty; ",
		"a: 1\n---\nb: 2":               "f.yaml:2: a second document starts here; ",
		"a: 1\nb: &x 2":                 "f.yaml:2: anchors and aliases are not supported; ",
		"a: 1\nb: *x":                   "f.yaml:1: the file is not YAML: unknown anchor 'x' referenced; ",
		"- a":                           "f.yaml:1: the file holds a list; ",
		"word":                          "f.yaml:1: the file holds a str; ",
		"a: 1\n\tb: 2":                  "f.yaml:2: the file is not YAML: ",
		"a: \"x":                        "f.yaml:1: the file is not YAML: ",
		strings.Repeat("#", maxBytes+1): "f.yaml:1: the file has 1048577 bytes; ",
	} {
		m := &Mistakes{}
		_, ok := Parse(m, "f.yaml", []byte(text))
		if err := m.Err(); ok || err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("Parse(%.20q) = %v, %v, want %s", text, ok, err, want)
		}
	}
}

func TestReadersGiveTheValueOrSayWhatIsWrong(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		read func(Node) any
		want any
		says string
	}{
		"a text":              {"a: x", func(n Node) any { return n.Text() }, "x", ""},
		"a number as a text":  {"a: 1.0", func(n Node) any { return n.Text() }, "1.0", ""},
		"a list as a text":    {"a: [x]", func(n Node) any { return n.Text() }, "", "a: is a list; write a text"},
		"nothing as a text":   {"a: ~", func(n Node) any { return n.Text() }, "", "a: is a null; write a text"},
		"no truth":            {"b: 1", func(n Node) any { return n.Bool(true) }, true, ""},
		"truth":               {"a: FALSE", func(n Node) any { return n.Bool(true) }, false, ""},
		"half the truth":      {"a: perhaps", func(n Node) any { return n.Bool(false) }, false, "a: is a str; write true or false"},
		"a whole number":      {"a: 7", func(n Node) any { v, _ := n.Whole(0, 9); return v }, int64(7), ""},
		"one beyond":          {"a: 10", func(n Node) any { v, _ := n.Whole(0, 9); return v }, int64(0), `a: "10" is out of range; write a whole number from 0 to 9`},
		"far beyond":          {"a: 99999999999999999999", func(n Node) any { _, ok := n.Whole(0, 9); return ok }, false, `a: is a float; write a whole number`},
		"a fraction":          {"a: 1.5", func(n Node) any { _, ok := n.Whole(0, 9); return ok }, false, "a: is a float; write a whole number"},
		"a number":            {"a: -1e3", func(n Node) any { v, _ := n.Number(); return v }, -1000.0, ""},
		"not a number":        {"a: .nan", func(n Node) any { _, ok := n.Number(); return ok }, false, `a: ".nan" is not a number that can be used; write a finite number`},
		"one of two":          {"a: y", func(n Node) any { return n.OneOf("x", "y") }, "y", ""},
		"none of two":         {"a: z", func(n Node) any { return n.OneOf("x", "y") }, "x", `a: "z" is not supported; write one of x, y`},
		"none of one":         {"a: z", func(n Node) any { return n.OneOf("", "y") }, "", `a: "z" is not supported; write y`},
		"the word null":       {"a: null", func(n Node) any { return n.OneOf("x", "null") }, "null", ""},
		"a list":              {"a: [x, 1]", func(n Node) any { return strings.Join(n.Texts(), "+") }, "x+1", ""},
		"a list with a hole":  {"a:\n  - x\n  - ~", func(n Node) any { return strings.Join(n.Texts(), "+") }, "x", "3: a[1]: is a null; write a text"},
		"a text as a list":    {"a: x", func(n Node) any { return len(n.List()) }, 0, "a: is a str; write it as a list"},
		"a text as a mapping": {"a: x", func(n Node) any { return len(n.Members().Names()) }, 0, "a: is a str; write it as a mapping"},
		"unknown key":         {"a:\n  x: 1\n  z: 2", func(n Node) any { return n.Fields("x", "y").Get("x").Raw() }, "1", "3: a.z: is not supported; use one of x, y"},
		"key twice":           {"a:\n  x: 1\n  x: 2", func(n Node) any { return n.Fields("x").Get("x").Raw() }, "1", "3: a.x: is given twice; remove one"},
		"key is a list":       {"a:\n  ? [x]\n  : 2", func(n Node) any { return len(n.Fields("x").Names()) }, 0, "2: a key is a list; write a plain word"},
		"missing key":         {"a:\n  x: 1", func(n Node) any { return n.Fields("x", "y").Need("y", "add it").Given() }, false, "1: a.y: is missing; add it"},
		"key of nothing":      {"b: 1", func(n Node) any { return n.Fields("x").Need("x", "add it").Text() }, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			root, m := parse(t, test.text)
			if got := test.read(root.Members().Get("a")); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
			says := ""
			if err := m.Err(); err != nil {
				says = strings.TrimPrefix(err.Error(), "f.yaml:")
				if !strings.HasPrefix(test.says, says[:2]) {
					says = strings.TrimPrefix(says, "1: ")
				}
			}
			if says != test.says {
				t.Errorf("says %q, want %q", says, test.says)
			}
		})
	}
}

func TestErrListsMistakesByFileAndLineAndOnce(t *testing.T) {
	m := &Mistakes{}
	m.Add("b", 1, "x", "y")
	m.Add("a", 10, "x", "y")
	m.Add("a", 9, "x", "y")
	m.Add("a", 9, "x", "y")
	if got, want := m.Err().Error(), "a:9: x; y\na:10: x; y\nb:1: x; y"; got != want {
		t.Errorf("Err() = %q, want %q", got, want)
	}
	if (&Mistakes{}).Err() != nil {
		t.Error("no mistakes are an error")
	}
}

func TestNamesKeepTheOrderOfTheFile(t *testing.T) {
	root, _ := parse(t, "c: 1\na: 2\nb: 3")
	if names := root.Members().Names(); !slices.Equal(names, []string{"c", "a", "b"}) {
		t.Errorf("Names() = %v", names)
	}
}
