package folder

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestThePipelineOfTheDocumentationLoads(t *testing.T) {
	page, err := os.ReadFile("../../../../docs/datasets.md")
	if err != nil {
		t.Fatal(err)
	}
	_, pipeline, _ := strings.Cut(string(page), "```yaml\napiVersion: almanac.dev/v1\n")
	pipeline, _, found := strings.Cut(pipeline, "```")
	if !found {
		t.Fatal("the page shows no pipeline")
	}
	contract := `apiVersion: v3.1.0
kind: DataContract
id: a
version: 1.0.0
status: active
schema:
  - name: rows
    properties:
      - {name: date, logicalType: date, required: true}
      - {name: delay, logicalType: integer}
      - {name: origin, logicalType: string}
`
	dir := folder(t, contract, "apiVersion: almanac.dev/v1\n"+pipeline, goodSQL)
	for _, name := range []string{"aggregates/monthly.sql", "releases/training.sql"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(goodSQL), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Load(dir); err != nil {
		t.Error(err)
	}
}
