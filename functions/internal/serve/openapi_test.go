package serve

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/jsonschema-go/jsonschema"
)

type parameter struct {
	Ref  string `json:"$ref"`
	Name string `json:"name"`
	In   string `json:"in"`
}

type description struct {
	Paths map[string]map[string]struct {
		OperationID string      `json:"operationId"`
		Parameters  []parameter `json:"parameters"`
		Responses   map[string]struct {
			Content map[string]struct {
				Schema json.RawMessage `json:"schema"`
			} `json:"content"`
		} `json:"responses"`
	} `json:"paths"`
	Components struct {
		Parameters map[string]parameter       `json:"parameters"`
		Schemas    map[string]json.RawMessage `json:"schemas"`
	} `json:"components"`
}

func describe(t testing.TB) description {
	t.Helper()
	var d description
	if err := json.Unmarshal(openAPI, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestOpenAPIDescribesTheRoutes(t *testing.T) {
	type operation struct{ Path, Query []string }
	want := map[string]operation{}
	for _, rt := range new(Server).routes() {
		path := strings.TrimSuffix(rt.path, "{$}")
		var op operation
		for part := range strings.SplitSeq(path, "/") {
			if strings.HasPrefix(part, "{") {
				op.Path = append(op.Path, strings.Trim(part, "{}"))
			}
		}
		op.Query = slices.Sorted(slices.Values(rt.params))
		want[path] = op
	}
	got, ids, doc := map[string]operation{}, map[string]bool{}, describe(t)
	for path, methods := range doc.Paths {
		if len(methods) != 1 || ids[methods["get"].OperationID] || methods["get"].OperationID == "" {
			t.Errorf("%s: %d methods, id %q, want get alone and an id of its own", path, len(methods), methods["get"].OperationID)
		}
		ids[methods["get"].OperationID] = true
		var op operation
		for _, p := range methods["get"].Parameters {
			p = doc.Components.Parameters[strings.TrimPrefix(p.Ref, "#/components/parameters/")]
			if p.In == "path" {
				op.Path = append(op.Path, p.Name)
			} else {
				op.Query = append(op.Query, p.Name)
			}
		}
		slices.Sort(op.Query)
		got[path] = op
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// validator checks a JSON answer of a path against the schema that the description gives for it.
func validator(t testing.TB, path string) func(body string) error {
	t.Helper()
	doc := describe(t)
	schema := string(doc.Paths[path]["get"].Responses["200"].Content["application/json"].Schema)
	if path == "problem" {
		schema = `{"$ref":"#/components/schemas/Problem"}`
	}
	defs, err := json.Marshal(doc.Components.Schemas)
	if err != nil {
		t.Fatal(err)
	}
	whole := `{"allOf":[` + schema + `],"$defs":` + string(defs) + `}`
	var s jsonschema.Schema
	if err := json.Unmarshal([]byte(strings.ReplaceAll(whole, "#/components/schemas/", "#/$defs/")), &s); err != nil {
		t.Fatal(err)
	}
	resolved, err := s.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	return func(body string) error {
		var value any
		if err := json.Unmarshal([]byte(body), &value); err != nil {
			return err
		}
		return resolved.Validate(value)
	}
}

func TestAnswersAreAsDescribed(t *testing.T) {
	w := newWorld(t)
	w.january(t)
	for _, version := range []string{"training-2001-01.1", "training-2001-01.2", "training-2001-02.1"} {
		w.release(t, version)
	}
	tests := map[string][]string{
		"/":                              {"/"},
		"/v1/datasets":                   {"/v1/datasets"},
		"/v1/datasets/{dataset}":         {"/v1/datasets/flights", "/v1/datasets/births"},
		"/v1/datasets/{dataset}/windows": {"/v1/datasets/flights/windows", "/v1/datasets/births/windows", "/v1/datasets/flights/windows?limit=2"},
		"/v1/datasets/{dataset}/windows/{window}":   {"/v1/datasets/flights/windows/2001-01-02", "/v1/datasets/flights/windows/2001-01-03", "/v1/datasets/flights/windows/2001-01-06"},
		"/v1/datasets/{dataset}/quarantine":         {"/v1/datasets/flights/quarantine", "/v1/datasets/births/quarantine"},
		"/v1/datasets/{dataset}/releases":           {"/v1/datasets/flights/releases", "/v1/datasets/births/releases", "/v1/datasets/flights/releases?limit=1&name=training"},
		"/v1/datasets/{dataset}/releases/{version}": {"/v1/datasets/flights/releases/training-2001-01.1", "/v1/datasets/flights/releases/training-2001-02.1"},
	}
	for path, urls := range tests {
		valid := validator(t, path)
		for _, url := range urls {
			resp, body := w.get(t, url)
			if err := valid(body); err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/json" {
				t.Errorf("GET %s = %d %s, %v\n%s", url, resp.StatusCode, resp.Header.Get("Content-Type"), err, body)
			}
		}
	}
}
