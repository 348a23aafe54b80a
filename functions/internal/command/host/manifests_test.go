package host

import (
	"bufio"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/calendar"
	"github.com/almanac-data/almanac/functions/internal/collect"
	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/hdfs"
	"github.com/almanac-data/almanac/functions/internal/kafka"
	"github.com/almanac-data/almanac/functions/internal/kafka/acl"
	"github.com/almanac-data/almanac/functions/internal/maintain"
	"github.com/almanac-data/almanac/functions/internal/platform"
	"github.com/almanac-data/almanac/functions/internal/platform/gate"
	"github.com/almanac-data/almanac/functions/internal/relay"
	"github.com/almanac-data/almanac/functions/internal/secret"
	"github.com/almanac-data/almanac/functions/internal/secret/envelope"
	"github.com/almanac-data/almanac/functions/internal/spark"
)

const manifests = "../../../../knative"

// manifest is what these tests look at of a manifest, before patches.
type manifest struct {
	Kind     string   `yaml:"kind"`
	Metadata metadata `yaml:"metadata"`
	Spec     spec     `yaml:"spec"`
}

type metadata struct {
	Name string `yaml:"name"`
}

type spec struct {
	Topics        []string `yaml:"topics"`
	ConsumerGroup string   `yaml:"consumerGroup"`
	Sink          struct {
		Ref metadata `yaml:"ref"`
	} `yaml:"sink"`
	Template template `yaml:"template"`
	Job      struct {
		Spec struct {
			Template template `yaml:"template"`
		} `yaml:"spec"`
	} `yaml:"job"`
}

type template struct {
	Spec struct {
		Containers []container `yaml:"containers"`
	} `yaml:"spec"`
}

type container struct {
	Image string `yaml:"image"`
	Env   []struct {
		Name  string `yaml:"name"`
		Value string `yaml:"value"`
	} `yaml:"env"`
}

// containers are those of a function, a job or a source.
func (m manifest) containers() []container {
	return slices.Concat(m.Spec.Template.Spec.Containers, m.Spec.Job.Spec.Template.Spec.Containers)
}

func readManifests(t *testing.T, pattern string) (all []manifest) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(manifests, pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no manifests at %s: %v", pattern, err)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for d := yaml.NewDecoder(f); ; {
			var m manifest
			if err := d.Decode(&m); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			all = append(all, m)
		}
	}
	return all
}

// TestSourcesOfManifestsWakeAsOneProcessDoes compares both kinds of sources with triggers, and with the access rules of those that read for them.
func TestSourcesOfManifestsWakeAsOneProcessDoes(t *testing.T) {
	for _, component := range []string{"kafka-source", "container-source"} {
		woken := map[string][]string{}
		for _, m := range readManifests(t, "components/"+component+"/sources.yaml") {
			if m.Kind == "" {
				continue // comments
			}
			topics := m.Spec.Topics
			for _, c := range m.containers() {
				for _, e := range c.Env {
					if e.Name == "ALMANAC_SOURCE_TOPICS" {
						topics = strings.Split(e.Value, ",")
					}
				}
			}
			if m.Kind == "KafkaSource" && m.Spec.ConsumerGroup != relay.Group(m.Metadata.Name) {
				t.Errorf("%s: group of %s is %s, so that Almanac's own source would not go on where it stopped", component, m.Metadata.Name, m.Spec.ConsumerGroup)
			}
			woken[m.Spec.Sink.Ref.Name] = slices.Sorted(slices.Values(topics))
			for _, role := range []string{"source", m.Spec.Sink.Ref.Name} {
				for _, topic := range topics {
					if !mayRead(t, role, "topic", topic) {
						t.Errorf("%s: the access rules of %s do not let it read %s, which wakes %s", component, role, topic, m.Metadata.Name)
					}
				}
				if group := relay.Group(m.Metadata.Name); !mayRead(t, role, "group", group) {
					t.Errorf("%s: the access rules of %s do not let it read as %s", component, role, group)
				}
			}
		}
		if len(woken) != len(triggers()) {
			t.Errorf("%s: functions that are woken: %v", component, woken)
		}
		var all []string
		for _, tr := range triggers() {
			if want := slices.Sorted(slices.Values(tr.topics)); !slices.Equal(woken[tr.function], want) {
				t.Errorf("%s: %s is woken by %v, want %v", component, tr.function, woken[tr.function], want)
			}
			all = append(all, tr.topics...)
		}
		for _, topic := range slices.Concat(events.FactTopics(), events.DueTopics()) {
			n := len(slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s != topic }))
			if want := map[bool]int{true: 0, false: 1}[topic == events.Staged{}.Topic()]; n != want { // store looks at what is staged by itself
				t.Errorf("%s wakes %d functions, want %d", topic, n, want)
			}
		}
	}
}

// mayRead says whether the access rules of Kafka let a role read a topic, or as a group.
func mayRead(t *testing.T, role, kind, name string) bool {
	t.Helper()
	chosen, err := acl.Choose([]string{role})
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(chosen[0].Rules, func(r acl.Rule) bool {
		return r.Kind == kind && (r.Name == name || r.Prefix && strings.HasPrefix(name, r.Name)) && slices.Contains(r.Operations, "Read")
	})
}

// configs are the structs that mains load, as they are written there.
var configs = map[string]any{
	"calendar.Config": calendar.Config{}, "maintain.Config": maintain.Config{}, "collect.Config": collect.Config{}, "secret.Config": secret.Config{},
	"spark.Required": spark.Required{}, "relay.Config": relay.Config{},
}

// reads lists the variables that a program reads: of the structs that its main declares, and of what it stands on.
func reads(t *testing.T, function string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("../../..", function, "main.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	stands, own := false, []any(nil)
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			sel, ok := n.Type.(*ast.SelectorExpr)
			if !ok {
				break
			}
			name := sel.X.(*ast.Ident).Name + "." + sel.Sel.Name
			c, known := configs[name]
			if !known {
				t.Errorf("%s loads %s, which this test does not know", function, name)
			}
			own = append(own, c)
		case *ast.SelectorExpr:
			if n.Sel.Name == "Envelope" {
				own = append(own, envelope.Config{})
			}
			if x, ok := n.X.(*ast.Ident); ok && n.Sel.Name == "Open" {
				stands = stands || x.Name == "platform"
				if x.Name == "gate" {
					own = append(own, gate.Config{})
				}
			}
		}
		return true
	})
	if stands {
		return platform.Variables(own...)
	}
	return fn.Variables(append(own, kafka.Settings{})...)
}

// TestWhoReadsTheKeyOfEnvelopesHasTheRight compares the programs that take ALMANAC_ENVELOPE_KEY with the policies of the secrets store.
func TestWhoReadsTheKeyOfEnvelopesHasTheRight(t *testing.T) {
	files, err := filepath.Glob("../../../../ansible/roles/openbao/files/policies/*.hcl")
	if err != nil || len(files) < 10 {
		t.Fatalf("policies: %v, %v", files, err)
	}
	granted := 0
	for _, name := range files {
		policy, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		function := strings.TrimSuffix(filepath.Base(name), ".hcl")
		known := command.Settable()
		if function != "almanac" {
			known = reads(t, function)
		}
		uses, may := slices.Contains(known, "ALMANAC_ENVELOPE_KEY"), strings.Contains(string(policy), `"transit/decrypt/almanac-rows"`)
		if uses != may {
			t.Errorf("%s takes ALMANAC_ENVELOPE_KEY: %t; its policy lets it use the key: %t", function, uses, may)
		}
		if may {
			granted++
		}
	}
	if granted != 3 {
		t.Errorf("%d may use the key, want collect, process and almanac", granted)
	}
}

// environment reads files of variables.
func environment(t *testing.T, names ...string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, name := range names {
		f, err := os.Open(filepath.Join(manifests, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for s := bufio.NewScanner(f); s.Scan(); {
			if key, value, ok := strings.Cut(s.Text(), "="); ok && !strings.HasPrefix(key, "#") {
				all[key] = value
			}
		}
	}
	return all
}

// elsewhere are variables that others than Almanac's code read.
var elsewhere = []string{"GOMEMLIMIT", "NAMESPACE"}

func TestManifestsSetWhatFunctionsReadAndNothingElse(t *testing.T) {
	shared := environment(t, "base/almanac.env", "components/production/production.env", "components/secrets-store/secrets-store.env")
	all := map[string]bool{}
	programs := 0
	for _, m := range append(readManifests(t, "base/*.yaml"), readManifests(t, "components/container-source/sources.yaml")...) {
		for _, c := range m.containers() {
			programs++
			function, _, _ := strings.Cut(strings.TrimPrefix(c.Image, "almanac/"), ":")
			known := reads(t, function)
			set := map[string]bool{}
			for key := range shared {
				set[key] = true
			}
			for _, v := range known {
				all[v] = true
			}
			for _, e := range c.Env {
				set[e.Name] = true
				if !slices.Contains(known, e.Name) && !slices.Contains(elsewhere, e.Name) {
					t.Errorf("%s %s sets %s, which %s does not read", m.Kind, m.Metadata.Name, e.Name, function)
				}
			}
			for _, v := range required() {
				if slices.Contains(known, v) && !set[v] {
					t.Errorf("%s %s does not set %s, which %s needs", m.Kind, m.Metadata.Name, v, function)
				}
			}
		}
	}
	for key := range shared {
		if !all[key] {
			t.Errorf("%s is set for all, and nothing reads it", key)
		}
	}
	if programs < 16 {
		t.Errorf("%d containers were looked at", programs)
	}
}

// required are the variables without which a program does not start, by their tags, and Spark.
func required() (names []string) {
	for _, c := range append([]any{fn.Common{}, hdfs.Config{}}, configs["relay.Config"]) {
		for field := range reflect.TypeOf(c).Fields() {
			if name, options, _ := strings.Cut(field.Tag.Get("env"), ","); strings.Contains(options, "required") && strings.HasPrefix(name, "ALMANAC_") {
				names = append(names, name)
			}
		}
	}
	return append(names, "ALMANAC_SPARK")
}

// TestEachFunctionHasAManifest compares the programs of make functions with the images.
func TestEachFunctionHasAManifest(t *testing.T) {
	text, err := os.ReadFile("../../../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\nFUNCTIONS := ")
	line, _, _ := strings.Cut(rest, "\n")
	want := slices.Sorted(slices.Values(strings.Fields(line)))
	images := map[string]bool{}
	for _, m := range append(readManifests(t, "base/*.yaml"), readManifests(t, "components/container-source/sources.yaml")...) {
		for _, c := range m.containers() {
			images[strings.TrimSuffix(strings.TrimPrefix(c.Image, "almanac/"), ":unpublished")] = true
		}
	}
	var got []string
	for name := range images {
		got = append(got, name)
	}
	slices.Sort(got)
	if len(want) < 10 || !slices.Equal(got, want) {
		t.Errorf("images are %v, want those of make functions, %v", got, want)
	}
}
