package e2e

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// openAPI is the description of the API, as far as it can be held to what is there.
type openAPI struct {
	Version string                          `json:"openapi"`
	Paths   map[string]map[string]operation `json:"paths"`
	Parts   struct {
		Parameters map[string]parameter `json:"parameters"`
		Responses  map[string]response  `json:"responses"`
	} `json:"components"`
}

type operation struct {
	Parameters []parameter         `json:"parameters"`
	Responses  map[string]response `json:"responses"`
}

type parameter struct {
	Ref  string `json:"$ref"`
	Name string `json:"name"`
	In   string `json:"in"`
}

type response struct {
	Ref     string         `json:"$ref"`
	Content map[string]any `json:"content"`
}

// known are values for the parameters of paths.
var known = strings.NewReplacer("{dataset}", "flights", "{window}", "2001-01-05", "{version}", "training-2001-01.1")

// testOpenAPI asks for every path that openapi.json describes: the status and the type of the answer must be among those described, a
// parameter that it describes must be taken, and one that it does not describe be refused.
func testOpenAPI(t *testing.T, c *client) {
	t.Helper()
	var api openAPI
	c.into(t, "/openapi.json", &api)
	if api.Version != "3.1.0" || len(api.Paths) < 10 {
		t.Fatalf("openapi %s describes %d paths, want 3.1.0 and all of them", api.Version, len(api.Paths))
	}
	file := readManifest(t, c).Content.Files[0].SHA256 + ".parquet"
	for path, operations := range api.Paths {
		concrete := strings.ReplaceAll(known.Replace(path), "{file}", file)
		if strings.Contains(concrete, "{") {
			t.Errorf("path %s has a parameter that this test does not know", path)
			continue
		}
		for method, op := range operations {
			api.described(t, c, strings.ToUpper(method), concrete, op)
		}
	}
}

func (api openAPI) described(t *testing.T, c *client, method, path string, op operation) {
	t.Helper()
	a := c.do(t, method, path)
	answer, ok := op.Responses[strconv.Itoa(a.status)]
	if !ok || a.status >= http.StatusBadRequest {
		t.Errorf("%s %s is answered by %d, which is not described as a success", method, path, a.status)
		return
	}
	if answer.Ref != "" {
		answer = api.Parts.Responses[answer.Ref[strings.LastIndex(answer.Ref, "/")+1:]]
	}
	media, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	if _, ok := answer.Content[media]; !ok && len(answer.Content) > 0 {
		t.Errorf("%s %s is answered as %q, described are %v", method, path, media, answer.Content)
	}
	var names []string
	for _, p := range op.Parameters {
		if p.Ref != "" {
			p = api.Parts.Parameters[p.Ref[strings.LastIndex(p.Ref, "/")+1:]]
		}
		if p.In == "query" {
			names = append(names, p.Name)
		}
	}
	values := map[string]string{"limit": "1", "name": "training", "after": "", "format": "csv", "columns": "", "split": "train"}
	for name, value := range values {
		a := c.do(t, method, path+"?"+name+"="+value)
		refused := a.status == http.StatusBadRequest && strings.Contains(string(a.body), "there is no parameter")
		if refused == slices.Contains(names, name) {
			t.Errorf("%s %s: parameter %s is answered by %d: %.200s; described are %v", method, path, name, a.status, a.body, names)
		}
	}
}
