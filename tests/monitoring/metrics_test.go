package monitoring

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"gopkg.in/yaml.v3"
)

// repo is the root of the repository.
const repo = "../.."

// shown maps the name of a metric to its labels.
type shown map[string][]string

// always are the labels that Prometheus gives each series.
var always = []string{"job", "instance"}

// metrics are what servers, functions and playbooks show.
func metrics(t *testing.T) shown {
	t.Helper()
	all := shown{"up": nil, "ALERTS": {"alertname", "alertstate"}}
	files, err := filepath.Glob("expositions/*.txt")
	if err != nil || len(files) < 10 {
		t.Fatalf("there are %d files of metrics (%v): tests/monitoring/record.sh writes them", len(files), err)
	}
	for _, f := range append(files, filepath.Join(repo, "functions/internal/fn/meter/testdata/names.txt")) {
		for line := range strings.Lines(read(t, f)) {
			_, metric, _ := strings.Cut(strings.TrimSpace(line), " ")
			name, rest, ok := strings.Cut(strings.TrimSuffix(metric, "}"), "{")
			if !ok || name == "" {
				t.Fatalf("%s: %q names no metric", f, line)
			}
			all[name] = slices.Concat(all[name], strings.Split(rest, ","))
		}
	}
	var noted struct {
		Metrics map[string]struct {
			Labels []string `yaml:"labels"`
		} `yaml:"_node_exporter_notes"`
	}
	decode(t, filepath.Join(repo, "ansible/roles/node_exporter/vars/main.yml"), &noted)
	if len(noted.Metrics) == 0 {
		t.Fatal("the role node_exporter knows no notes of playbooks")
	}
	for name, m := range noted.Metrics {
		all[name] = m.Labels
	}
	return all
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func decode(t *testing.T, file string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(read(t, file)), into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// check holds an expression to what is shown, and returns the metrics that it asks for.
func (s shown) check(t *testing.T, where, expr string) []string {
	t.Helper()
	tree, err := parser.ParseExpr(expr)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return nil
	}
	var names []string
	parser.Inspect(tree, func(n parser.Node, _ []parser.Node) error {
		v, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		names = append(names, v.Name)
		known, ok := s[v.Name]
		if !ok {
			t.Errorf("%s: nothing shows %s", where, v.Name)
			return nil
		}
		for _, m := range v.LabelMatchers {
			if m.Name != labels.MetricName && !slices.Contains(always, m.Name) && !slices.Contains(known, m.Name) {
				t.Errorf("%s: %s has no label %s, but %v", where, v.Name, m.Name, known)
			}
		}
		return nil
	})
	return names
}

// results are the labels that the series of an expression may have, as far as its outermost operation tells.
func (s shown) results(t *testing.T, expr string) []string {
	t.Helper()
	tree, err := parser.ParseExpr(expr)
	if err != nil {
		t.Fatal(err)
	}
	var of func(n parser.Node) []string
	of = func(n parser.Node) []string {
		switch e := n.(type) {
		case *parser.AggregateExpr:
			if e.Without {
				t.Fatalf("%s: without is not understood here", expr)
			}
			return e.Grouping
		case *parser.VectorSelector:
			return slices.Concat(always, s[e.Name])
		case *parser.Call:
			all := []string{}
			if e.Func.Name == "label_replace" {
				all = append(all, e.Args[1].(*parser.StringLiteral).Val)
			}
			for _, a := range e.Args {
				all = append(all, of(a)...)
			}
			return all
		}
		var all []string
		for _, c := range parser.Children(n) {
			all = append(all, of(c)...)
		}
		return all
	}
	return of(tree)
}
