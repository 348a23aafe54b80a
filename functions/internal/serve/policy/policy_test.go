package policy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/almanac-data/almanac/functions/internal/identity"
	"github.com/almanac-data/almanac/functions/internal/serve/policy"
)

const policyText = `
readers:
  - subject: mlapp
    datasets: [flights]
  - group: research
    datasets: ["*"]
  - certificate: trainer.example.org
    datasets: [births, flights]
  - certificate: spiffe://example.org/trainer
    datasets: [births]
  - subject: prometheus
    metrics: true
`

func TestWhoMayReadWhat(t *testing.T) {
	p, err := policy.Parse("policy.yaml", []byte(policyText))
	if err != nil {
		t.Fatal(err)
	}
	names := func(all ...string) identity.Identity { return identity.Identity{Subject: all[0], Names: all} }
	for why, c := range map[string]struct {
		who  identity.Identity
		want string // of flights, births and anything
	}{
		"a subject":                           {identity.Identity{Subject: "mlapp"}, "flights"},
		"a group":                             {identity.Identity{Subject: "x", Groups: []string{"a", "research"}}, "flights births anything"},
		"a certificate":                       {names("trainer.example.org"), "flights births"},
		"the second name of a certificate":    {names("x", "spiffe://example.org/trainer"), "births"},
		"nobody":                              {identity.Identity{}, ""},
		"somebody else":                       {identity.Identity{Subject: "mlapp2", Groups: []string{"", "research2"}}, ""},
		"metrics alone":                       {identity.Identity{Subject: "prometheus"}, ""},
		"a certificate with a subject's name": {names("mlapp"), ""},
		"a subject with a certificate's name": {identity.Identity{Subject: "trainer.example.org"}, ""},
		"a certificate that claims a group":   {identity.Identity{Subject: "x", Names: []string{"x"}, Groups: []string{"research"}}, ""},
	} {
		var got []string
		for _, name := range []string{"flights", "births", "anything"} {
			if p.Of(c.who).May(name) {
				got = append(got, name)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s may read %v, want %s", why, got, c.want)
		}
	}
	if got := strings.Join(p.Datasets(), " "); got != "births flights" {
		t.Errorf("Datasets = %s", got)
	}
}

func TestMistakesInAPolicy(t *testing.T) {
	for name, c := range map[string]struct{ text, says string }{
		"nothing":              {"", "is empty"},
		"no YAML":              {"readers: [", "not YAML"},
		"no readers":           {"reader: []", "readers: is missing"},
		"an unknown key":       {"readers:\n  - subject: a\n    dataset: [b]", "p.yaml:3: readers[0].dataset: is not supported"},
		"nobody":               {"readers:\n  - datasets: [a]", "p.yaml:2: readers[0]: says by nothing"},
		"two ways to say who":  {"readers:\n  - subject: a\n    group: b\n    datasets: [c]", "more than one thing"},
		"an empty subject":     {"readers:\n  - subject: \"\"\n    datasets: [c]", "exactly one of"},
		"nothing granted":      {"readers:\n  - subject: a", "grants nothing"},
		"a name that is none":  {"readers:\n  - subject: a\n    datasets: [fl*]", `"fl*" is no name of a dataset`},
		"datasets as one text": {"readers:\n  - subject: a\n    datasets: \"*\"", "write it as a list"},
		"metrics as a text":    {"readers:\n  - subject: a\n    metrics: yes please", "write true or false"},
		"an anchor":            {"readers: &a\n  - *a", "anchors"},
		"a list of words":      {"readers: [a]", "write it as a mapping"},
		"two mistakes at once": {"readers:\n  - subject: a\n  - x: y", "p.yaml:3: readers[1].x"},
	} {
		p, err := policy.Parse("p.yaml", []byte(c.text))
		if p != nil || err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: Parse = %v, want %q", name, err, c.says)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(policyText))
	f.Add([]byte("readers: [{subject: a, datasets: ['*'], metrics: true}]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := policy.Parse("p", text)
		if (p == nil) == (err == nil) {
			t.Fatalf("Parse = %v, %v", p, err)
		}
		if p != nil && p.Of(identity.Identity{}).May("flights") {
			t.Fatal("nobody may read flights")
		}
	})
}

func TestAPolicyCountsOnceItIsChanged(t *testing.T) {
	name := filepath.Join(t.TempDir(), "policy.yaml")
	var warned []string
	file := &policy.File{Name: name, Warn: func(err error) { warned = append(warned, err.Error()) }}
	if _, err := file.Read(); err == nil {
		t.Fatal("a file that is not there can be read")
	}
	at := time.Now()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		at = at.Add(time.Second)
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
	may := func(want bool) {
		t.Helper()
		for range 2 {
			p, err := file.Read()
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Of(identity.Identity{Subject: "mlapp"}).May("flights"); got != want {
				t.Errorf("mlapp may read flights = %v, want %v", got, want)
			}
		}
	}
	write(policyText)
	may(true)
	write("readers: [{subject: mlapp, datasets: [births]}]")
	may(false)
	write("readers: [")
	may(false)
	if len(warned) != 1 || !strings.Contains(warned[0], "not YAML") {
		t.Errorf("warned of %q, want once of the YAML", warned)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	may(false)
	write(policyText)
	may(true)
	if len(warned) != 2 {
		t.Errorf("warned of %q, want of the file that was gone besides", warned)
	}
}
