package manifests

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// object is a manifest as it is sent to a cluster.
type object map[string]any

const root = "../../knative"

// overlays are what a site starts from.
func overlays(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob(root + "/overlays/*")
	if err != nil || len(all) < 3 {
		t.Fatalf("overlays are %v, %v", all, err)
	}
	return append(all, "testdata/site")
}

// build is what kubectl apply -k would send.
func build(t *testing.T, dir string) []object {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatalf("build %s: %v", dir, err)
	}
	var all []object
	for _, r := range built.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		var o object
		if err := yaml.Unmarshal(text, &o); err != nil {
			t.Fatal(err)
		}
		all = append(all, o)
	}
	return all
}

// at is what lies at a path of keys and indices, or nil.
func at(in any, path ...any) any {
	for _, step := range path {
		switch key := step.(type) {
		case string:
			switch m := in.(type) {
			case map[string]any:
				in = m[key]
			case object:
				in = m[key]
			default:
				return nil
			}
		case int:
			list, ok := in.([]any)
			if !ok || key >= len(list) {
				return nil
			}
			in = list[key]
		}
	}
	return in
}

// dotted is at for keys that are joined by dots.
func dotted(in any, path string) any {
	var steps []any
	for key := range strings.SplitSeq(path, ".") {
		steps = append(steps, key)
	}
	return at(in, steps...)
}

func text(in any, path string) string { s, _ := dotted(in, path).(string); return s }

func list(in any, path string) []any { l, _ := dotted(in, path).([]any); return l }

// number is a number of JSON, or -1.
func number(in any, path string) float64 {
	if n, ok := dotted(in, path).(float64); ok {
		return n
	}
	return -1
}

func (o object) kind() string { return text(o, "kind") }
func (o object) name() string { return text(o, "metadata.name") }
func (o object) String() string {
	return o.kind() + " " + o.name()
}

// pod is the template of pods in a function, a job or a source.
type pod struct {
	of       object
	template map[string]any
}

// pods lists the templates of all pods.
func pods(all []object) (found []pod) {
	for _, o := range all {
		path := map[string]string{"Service": "spec.template", "JobSink": "spec.job.spec.template", "ContainerSource": "spec.template"}[o.kind()]
		if template, ok := dotted(o, path).(map[string]any); ok && path != "" {
			found = append(found, pod{o, template})
		}
	}
	return found
}

func (p pod) String() string           { return p.of.String() }
func (p pod) container() any           { return at(p.template, "spec", "containers", 0) }
func (p pod) label(name string) string { return fmt.Sprint(at(p.template, "metadata", "labels", name)) }
func (p pod) containers() []any        { return list(p.template, "spec.containers") }
func (p pod) labels() map[string]any {
	l, _ := dotted(p.template, "metadata.labels").(map[string]any)
	return l
}
func (p pod) component() string { return p.label("app.kubernetes.io/component") }

// env is the environment of the first container; values from elsewhere are empty.
func (p pod) env(all []object) map[string]string {
	out := map[string]string{}
	for _, from := range list(p.container(), "envFrom") {
		for _, o := range all {
			if o.kind() == "ConfigMap" && o.name() == text(from, "configMapRef.name") {
				data, _ := o["data"].(map[string]any)
				for k, v := range data {
					out[k], _ = v.(string)
				}
			}
		}
	}
	for _, e := range list(p.container(), "env") {
		out[text(e, "name")] = text(e, "value")
	}
	return out
}

func find(all []object, kind, name string) object {
	i := slices.IndexFunc(all, func(o object) bool { return o.kind() == kind && o.name() == name })
	if i < 0 {
		return nil
	}
	return all[i]
}

func ofKind(all []object, kind string) []object {
	return slices.DeleteFunc(slices.Clone(all), func(o object) bool { return o.kind() != kind })
}

// clone is a deep copy, to be broken.
func clone(t *testing.T, all []object) (out []object) {
	t.Helper()
	for _, o := range all {
		text, err := yaml.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		var c object
		if err := yaml.Unmarshal(text, &c); err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	return out
}

func TestOverlaysAreBuiltAlikeTwice(t *testing.T) {
	for _, dir := range overlays(t) {
		first, second := build(t, dir), build(t, dir)
		if len(first) < 30 || fmt.Sprint(first) != fmt.Sprint(second) {
			t.Errorf("%s: %d objects, and other ones the second time", dir, len(first))
		}
	}
}

// TestEachFileIsUsed finds manifests that no kustomization names.
func TestEachFileIsUsed(t *testing.T) {
	named := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.Name() != "kustomization.yaml" {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var k struct {
			Resources, Configurations, Components []string
			Patches                               []struct{ Path string }
			ConfigMapGenerator                    []struct{ Envs []string }
		}
		if err := yaml.Unmarshal(raw, &k); err != nil {
			return err
		}
		files := slices.Concat(k.Resources, k.Configurations, k.Components)
		for _, p := range k.Patches {
			files = append(files, p.Path)
		}
		for _, g := range k.ConfigMapGenerator {
			files = append(files, g.Envs...)
		}
		for _, f := range files {
			named[filepath.Join(filepath.Dir(path), f)] = true
		}
		return nil
	})
	if err != nil || len(named) < 20 {
		t.Fatalf("%d files are named, %v", len(named), err)
	}
	err = filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		if e.IsDir() && path == root+"/images" {
			return filepath.SkipDir // no manifests
		}
		if err == nil && !e.IsDir() && e.Name() != "kustomization.yaml" && e.Name() != "README.md" && !named[filepath.Clean(path)] {
			t.Errorf("%s is in no kustomization; some of those that are: %v", path, slices.Sorted(maps.Keys(named))[:3])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
