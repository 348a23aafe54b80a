package folder

import (
	"strings"
	"testing"
)

// FuzzLoad feeds Load with anything: it gives a dataset or an error that names a file and a line, and never panics.
func FuzzLoad(f *testing.F) {
	f.Add(goodContract, goodPipeline, goodSQL)
	for _, test := range brokenContracts {
		f.Add(strings.Replace(goodContract, test.old, test.with, 1), goodPipeline, goodSQL)
	}
	for _, test := range brokenPipelines {
		f.Add(goodContract, strings.Replace(goodPipeline, test.old, test.with, 1), "SELECT 1;")
	}
	f.Add("? [a]\n: 1", "a: &a [*a]", "'")
	f.Add("schema: [[], {properties: {}}]\nteam: [1, {}, ~]\nslaProperties: {}", "aggregates: [~, 1, {inputs: {rows: ~}}]\nprocess: ~", "--")
	f.Fuzz(func(t *testing.T, contract, pipeline, sql string) {
		d, err := Load(folder(t, contract, pipeline, sql))
		if err == nil && (len(d.Definition) != 64 || d.Collect.EventTime == "" || d.Process.Location == nil) {
			t.Errorf("Load gives half a dataset: %+v", d)
		}
		if err != nil && !strings.Contains(err.Error(), "trips/") {
			t.Errorf("Load names no file: %v", err)
		}
	})
}
