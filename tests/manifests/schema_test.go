package manifests

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	sinks "knative.dev/eventing/pkg/apis/sinks/v1alpha1"
	sources "knative.dev/eventing/pkg/apis/sources/v1"
	"knative.dev/pkg/apis"
	serving "knative.dev/serving/pkg/apis/serving/v1"
	"sigs.k8s.io/yaml"
)

// types are the Go types that API servers and Knative's webhooks decode into, by apiVersion and kind.
var types = map[string]func() any{
	"v1 Namespace":                           func() any { return new(core.Namespace) },
	"v1 ServiceAccount":                      func() any { return new(core.ServiceAccount) },
	"v1 ConfigMap":                           func() any { return new(core.ConfigMap) },
	"v1 PersistentVolumeClaim":               func() any { return new(core.PersistentVolumeClaim) },
	"networking.k8s.io/v1 NetworkPolicy":     func() any { return new(networking.NetworkPolicy) },
	"policy/v1 PodDisruptionBudget":          func() any { return new(policy.PodDisruptionBudget) },
	"batch/v1 Job":                           func() any { return new(batch.Job) },
	"serving.knative.dev/v1 Service":         func() any { return new(serving.Service) },
	"sources.knative.dev/v1 PingSource":      func() any { return new(sources.PingSource) },
	"sources.knative.dev/v1 ContainerSource": func() any { return new(sources.ContainerSource) },
	"sinks.knative.dev/v1alpha1 JobSink":     func() any { return new(sinks.JobSink) },
}

// decode refuses unknown and doubled fields and wrong types, and asks the type's own validation, as a webhook does.
func decode(t *testing.T, o object) error {
	t.Helper()
	fresh, ok := types[text(o, "apiVersion")+" "+o.kind()]
	if !ok {
		return fmt.Errorf("nothing is known of %s %s", text(o, "apiVersion"), o.kind())
	}
	raw, err := yaml.Marshal(o)
	if err != nil {
		return err
	}
	into := fresh()
	if err := yaml.UnmarshalStrict(raw, into); err != nil {
		return err
	}
	ctx := apis.WithinCreate(t.Context())
	if d, ok := into.(apis.Defaultable); ok {
		d.SetDefaults(ctx)
	}
	if _, ok := into.(*sinks.JobSink); ok {
		return nil // its webhook asks an API server; rules and strict decoding must do
	}
	if v, ok := into.(apis.Validatable); ok {
		if wrong := v.Validate(ctx).Filter(apis.ErrorLevel); wrong != nil {
			return wrong
		}
	}
	return nil
}

func TestTypes(t *testing.T) {
	for _, dir := range overlays(t) {
		for _, o := range build(t, dir) {
			if o.kind() == "KafkaSource" {
				continue // TestSchemas
			}
			err := decode(t, o)
			if dir == "testdata/site" && o.kind() == "Service" && o.name() == "collect" {
				if err == nil || !strings.Contains(err.Error(), "Persistent volume claim support is disabled") {
					t.Errorf("%s: %s: %v, want that the feature of volumes is asked for", dir, o, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %s: %v", dir, o, err)
			}
		}
	}
}

// crds are the schemas of the custom resources at the versions in go.mod; that of KafkaSource is told in testdata, as its module is not published.
func crds(t *testing.T) map[string]*jsonschema.Resolved {
	t.Helper()
	all := map[string]*jsonschema.Resolved{}
	for module, pattern := range map[string]string{"knative.dev/serving": "config/core/300-resources/*.yaml", "knative.dev/eventing": "config/core/resources/*.yaml"} {
		dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
		if err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("no resources in %s: %v", module, err)
		}
		for _, f := range files {
			readCRD(t, f, all)
		}
	}
	readCRD(t, "testdata/kafkasource.yaml", all)
	return all
}

func readCRD(t *testing.T, file string, all map[string]*jsonschema.Resolved) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var crd struct {
		Kind string
		Spec struct {
			Group    string
			Names    struct{ Kind string }
			Versions []struct {
				Name   string
				Schema struct{ OpenAPIV3Schema map[string]any }
			}
		}
	}
	if err := yaml.Unmarshal(raw, &crd); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if crd.Kind != "CustomResourceDefinition" {
		return
	}
	for _, v := range crd.Spec.Versions {
		text, err := json.Marshal(strict(v.Schema.OpenAPIV3Schema, true))
		if err != nil {
			t.Fatal(err)
		}
		var s jsonschema.Schema
		if err := json.Unmarshal(text, &s); err != nil {
			t.Fatalf("%s %s: %v", file, v.Name, err)
		}
		resolved, err := s.Resolve(nil)
		if err != nil {
			t.Fatalf("%s %s: %v", file, v.Name, err)
		}
		all[crd.Spec.Group+"/"+v.Name+" "+crd.Spec.Names.Kind] = resolved
	}
}

// strict makes JSON Schema of an OpenAPI schema as Kubernetes has them: fields that are not named are refused unless they are to be preserved.
func strict(in map[string]any, top bool) map[string]any {
	out := map[string]any{}
	for _, key := range []string{"type", "enum", "required", "minimum", "maximum", "minLength", "maxLength", "minItems", "pattern"} {
		if v, ok := in[key]; ok {
			out[key] = v
		}
	}
	if in["x-kubernetes-int-or-string"] == true {
		out["type"] = []any{"integer", "string"}
	}
	if items, ok := in["items"].(map[string]any); ok {
		out["items"] = strict(items, false)
	}
	if more, ok := in["additionalProperties"].(map[string]any); ok {
		out["additionalProperties"] = strict(more, false)
	}
	properties, ok := in["properties"].(map[string]any)
	if !ok {
		return out
	}
	named := map[string]any{}
	for name, p := range properties {
		named[name] = strict(p.(map[string]any), false)
	}
	if top {
		for _, name := range []string{"apiVersion", "kind", "metadata"} {
			named[name] = map[string]any{}
		}
	}
	out["properties"] = named
	if in["x-kubernetes-preserve-unknown-fields"] != true && out["additionalProperties"] == nil {
		out["additionalProperties"] = false
	}
	return out
}

func TestSchemas(t *testing.T) {
	schemas, looked := crds(t), 0
	for _, dir := range overlays(t) {
		for _, o := range build(t, dir) {
			s, ok := schemas[text(o, "apiVersion")+" "+o.kind()]
			if !ok {
				if strings.Contains(text(o, "apiVersion"), "knative.dev") {
					t.Errorf("%s: %s: there is no such resource", dir, o)
				}
				continue
			}
			looked++
			if err := s.Validate(map[string]any(o)); err != nil {
				t.Errorf("%s: %s: %v", dir, o, err)
			}
		}
	}
	if looked < 40 {
		t.Errorf("%d objects were looked at", looked)
	}
}

// TestSchemasAndTypesSeeMistakes breaks a field of each kind.
func TestSchemasAndTypesSeeMistakes(t *testing.T) {
	schemas := crds(t)
	all := append(build(t, root+"/overlays/production"), ofKind(build(t, root+"/overlays/container-source"), "ContainerSource")...)
	tests := map[string]struct {
		kind, name string
		change     func(o object)
		schema     bool // seen by the schema; else by the type
	}{
		"an unknown field of a Service":      {"Service", "store", func(o object) { set(o, "spec.template.spec.timeout", 3.0) }, true},
		"a Service with a word for a number": {"Service", "store", func(o object) { set(o, "spec.template.spec.timeoutSeconds", "long") }, true},
		"a request that may take too long":   {"Service", "store", func(o object) { set(o, "spec.template.spec.timeoutSeconds", 4000.0) }, false},
		"a scale that is no number": {"Service", "store", func(o object) {
			at(o, "spec", "template", "metadata", "annotations").(map[string]any)["autoscaling.knative.dev/max-scale"] = "many"
		}, false},
		"a pod that shares the host's network":    {"Service", "store", func(o object) { set(o, "spec.template.spec.hostNetwork", true) }, false},
		"a JobSink without its job":               {"JobSink", "deliver", func(o object) { set(o, "spec.jobs", map[string]any{}) }, true},
		"an unknown field of a job":               {"JobSink", "deliver", func(o object) { set(o, "spec.job.spec.retries", 3.0) }, false},
		"a schedule that is no cron":              {"PingSource", "ticks", func(o object) { set(o, "spec.schedule", "hourly") }, false},
		"a PingSource that says a function twice": {"PingSource", "ticks", func(o object) { set(o, "spec.sinks", "x") }, true},
		"a ContainerSource without a container":   {"ContainerSource", "store", func(o object) { set(o, "spec.template.spec.containers", []any{}) }, false},
		"a KafkaSource with an unknown order":     {"KafkaSource", "store", func(o object) { set(o, "spec.ordering", "any") }, true},
		"a KafkaSource with an unknown field":     {"KafkaSource", "store", func(o object) { set(o, "spec.topic", "x") }, true},
		"a KafkaSource without topics":            {"KafkaSource", "store", func(o object) { delete(o["spec"].(map[string]any), "topics") }, true},
		"a policy with an unknown field":          {"NetworkPolicy", "all-to-dns", func(o object) { set(o, "spec.outgoing", []any{}) }, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			o := find(clone(t, all), tt.kind, tt.name)
			tt.change(o)
			var err error
			if tt.schema {
				err = schemas[text(o, "apiVersion")+" "+o.kind()].Validate(map[string]any(o))
			} else {
				err = decode(t, o)
			}
			if err == nil {
				t.Error("it is not seen")
			}
		})
	}
}

// set puts a value at a path whose last key may be new.
func set(o object, path string, value any) {
	i := strings.LastIndex(path, ".")
	dotted(o, path[:i]).(map[string]any)[path[i+1:]] = value
}
