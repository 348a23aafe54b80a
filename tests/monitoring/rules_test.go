package monitoring

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// rule is a recording or an alerting rule.
type rule struct {
	Record      string            `yaml:"record"`
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
	file        string
}

const (
	rulesDir = repo + "/ansible/roles/prometheus/files/rules"
	runbooks = "https://github.com/almanac-data/almanac/blob/main/docs/runbooks/"
)

func rules(t *testing.T) []rule {
	t.Helper()
	files, err := filepath.Glob(rulesDir + "/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no rules in %s", rulesDir)
	}
	var all []rule
	for _, f := range files {
		var doc struct {
			Groups []struct {
				Rules []rule `yaml:"rules"`
			} `yaml:"groups"`
		}
		decode(t, f, &doc)
		for _, g := range doc.Groups {
			for _, r := range g.Rules {
				r.file = filepath.Base(f)
				all = append(all, r)
			}
		}
	}
	return all
}

// known adds what rules record to what is shown.
func known(t *testing.T) shown {
	t.Helper()
	all := metrics(t)
	for _, r := range rules(t) {
		if r.Record != "" {
			all[r.Record] = all.results(t, r.Expr)
		}
	}
	return all
}

func TestRulesAskForWhatIsShown(t *testing.T) {
	all := known(t)
	used := map[string]bool{}
	for _, r := range rules(t) {
		for _, name := range all.check(t, r.file+": "+r.Alert+r.Record, r.Expr) {
			used[name] = true
		}
	}
	for _, q := range queries(t) {
		for _, name := range all.check(t, q.where, q.expr) {
			used[name] = true
		}
	}
	for _, r := range rules(t) {
		if r.Record != "" && !used[r.Record] {
			t.Errorf("%s: no alert and no dashboard asks for %s", r.file, r.Record)
		}
	}
}

var labelOf = regexp.MustCompile(`\$labels\.(\w+)`)

func TestAlertsSayWhatToDo(t *testing.T) {
	all := known(t)
	severities := []string{"critical", "warning", "none"}
	for _, r := range rules(t) {
		if r.Alert == "" {
			continue
		}
		if !slices.Contains(severities, r.Labels["severity"]) {
			t.Errorf("%s has the severity %q, want one of %v", r.Alert, r.Labels["severity"], severities)
		}
		for _, name := range []string{"summary", "description"} {
			text := r.Annotations[name]
			if text == "" {
				t.Errorf("%s has no %s", r.Alert, name)
			}
			has := all.results(t, r.Expr)
			for _, m := range labelOf.FindAllStringSubmatch(text, -1) {
				if !slices.Contains(has, m[1]) {
					t.Errorf("%s: its %s names the label %s, and its series have only %v", r.Alert, name, m[1], has)
				}
			}
		}
		if want := runbooks + r.Alert + ".md"; r.Annotations["runbook_url"] != want {
			t.Errorf("%s has the runbook %q, want %s", r.Alert, r.Annotations["runbook_url"], want)
		}
	}
}

func TestEachAlertHasItsRunbookAndEachRunbookItsAlert(t *testing.T) {
	alerts := map[string]bool{}
	for _, r := range rules(t) {
		if r.Alert == "" {
			continue
		}
		if alerts[r.Alert] {
			t.Errorf("two alerts are called %s", r.Alert)
		}
		alerts[r.Alert] = true
	}
	files, err := filepath.Glob(repo + "/docs/runbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".md")
		if !alerts[name] {
			t.Errorf("%s is of no alert", f)
		}
		delete(alerts, name)
		text := read(t, f)
		for _, part := range []string{"# " + name + "\n", "\n## What it means\n", "\n## How to see it\n", "\n## What to do\n", "```"} {
			if !strings.Contains(text, part) {
				t.Errorf("%s has no %q", f, part)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(alerts)) {
		t.Errorf("%s has no runbook", name)
	}
}

// expectation is a test of promtool: which alerts fire at a time.
type expectation struct {
	Expr    string `yaml:"expr"`
	Samples []struct {
		Labels string `yaml:"labels"`
	} `yaml:"exp_samples"`
}

var alertOf = regexp.MustCompile(`^ALERTS\{alertname="(\w+)", alertstate="firing"\}$`)

func TestEachAlertIsTestedToFireAndNotTo(t *testing.T) {
	fires, quiet := map[string]bool{}, map[string]bool{}
	files, err := filepath.Glob("rules/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		var doc struct {
			Tests []struct {
				Name   string        `yaml:"name"`
				Expect []expectation `yaml:"promql_expr_test"`
			} `yaml:"tests"`
		}
		decode(t, f, &doc)
		for _, test := range doc.Tests {
			for _, e := range test.Expect {
				m := alertOf.FindStringSubmatch(e.Expr)
				switch {
				case m == nil:
					t.Errorf("%s: %s: %s asks for no alert that fires", f, test.Name, e.Expr)
				case len(e.Samples) > 0:
					fires[m[1]] = true
				default:
					quiet[m[1]] = true
				}
			}
		}
	}
	for _, r := range rules(t) {
		if r.Alert != "" && !fires[r.Alert] {
			t.Errorf("no test lets %s fire", r.Alert)
		}
		if r.Alert != "" && r.Alert != "Watchdog" && !quiet[r.Alert] {
			t.Errorf("no test holds that %s does not fire", r.Alert)
		}
	}
}

var (
	commandLine = regexp.MustCompile(`(?m)^almanac ([a-z]+)(?: ([a-z]+))?`)
	commandUse  = regexp.MustCompile(`Use:\s+"([a-z]+)|deadLetter\(o, "([a-z]+)"`)
)

func TestRunbooksNameCommandsThatExist(t *testing.T) {
	sources, err := filepath.Glob(repo + "/functions/internal/command/*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	exist := map[string]bool{}
	for _, f := range sources {
		for _, m := range commandUse.FindAllStringSubmatch(read(t, f), -1) {
			exist[m[1]+m[2]] = true
		}
	}
	files, err := filepath.Glob(repo + "/docs/runbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, f := range files {
		for _, m := range commandLine.FindAllStringSubmatch(read(t, f), -1) {
			seen++
			grouped := m[1] == "deadletters" || m[1] == "quarantine" || m[1] == "datasets" || m[1] == "releases" || m[1] == "acls" || m[1] == "topics"
			if !exist[m[1]] || grouped && m[2] != "" && !exist[m[2]] {
				t.Errorf("%s: almanac has no command %q", f, m[0])
			}
		}
	}
	if seen == 0 {
		t.Error("no runbook names a command")
	}
}
