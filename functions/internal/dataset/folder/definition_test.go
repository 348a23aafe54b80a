package folder

import (
	"strings"
	"testing"
)

// stored are edits after which other rows could be stored; told are edits after which they could not.
var (
	stored = map[string][2]string{
		"a column's name":       {"name: ok", "name: fine"},
		"a column's type":       {"logicalType: boolean", "logicalType: string"},
		"a decimal's scale":     {"DECIMAL(9,2)", "DECIMAL(9,3)"},
		"a column more":         {"      - name: ok", "      - name: more\n        logicalType: date\n      - name: ok"},
		"a pseudonym":           {"classification: personal", "classification: internal"},
		"required":              {"- name: kind", "- name: kind\n        required: true"},
		"a bound":               {"maximum: 600", "maximum: 601"},
		"a rule's name":         {"{metric: rowCount", "{id: enough, metric: rowCount"},
		"a severity":            {"severity: warning", "severity: error"},
		"a rule less":           {"      - {metric: rowCount, mustBeGreaterThan: 10}\n", "      []\n"},
		"the order of the key":  {"primaryKeyPosition: 2", "primaryKeyPosition: 0"},
		"the event time":        {"event_time: at", "event_time: at2"},
		"the lateness":          {"lateness: 1d", "lateness: 2d"},
		"the delimiter":         {`delimiter: ";"`, `delimiter: ","`},
		"the quote":             {`quote: "'"`, `quote: ""`},
		"a value for null":      {`"NA"]`, `"NA", "-"]`},
		"trimming":              {"trim: true", "trim: false"},
		"the time zone":         {"Europe/Berlin", "UTC"},
		"an input's name":       {"DELAY_MIN", "DELAY_MINUTES"},
		"a format":              {"2006-01-02 15:04", "2006-01-02T15:04"},
		"a default":             {`fare: "0.50"`, `fare: "0.51"`},
		"a column to drop":      {"drop: [carrier]", "drop: []"},
		"a filter":              {"values: [X, Y]", "values: [X]"},
		"the budget of rejects": {"rows: 100}", "rows: 101}"},
		"the budget's share":    {"share: 0.02", "share: 0.03"},
	}
	told = map[string][2]string{
		"a description":                {"- name: fare", "- name: fare\n        description: in euro"},
		"the title":                    {"name: Trips", "name: Rides"},
		"the version":                  {"version: 1.2.0", "version: 1.2.1"},
		"the owner":                    {"name: Data team", "name: Team of data"},
		"the retention":                {"value: 10, unit: y", "value: 11, unit: y"},
		"a class that is not personal": {"- name: fare", "- name: fare\n        classification: public"},
		"a dimension":                  {"severity: warning", "severity: warning, dimension: accuracy"},
		"a comment":                    {"kind: Pipeline", "# a line more\nkind: Pipeline"},
		"the path":                     {"sample/{yyyy}", "samples/{yyyy}"},
		"the compression":              {"compression: auto", "compression: none"},
		"the schedule":                 {"every: day\n  delay: 6h", "every: month\n  delay: 5h"},
		"the end":                      {"end: 2001-07-01", "end: 2001-08-01"},
		"the order of nulls":           {`["", "NA"]`, `["NA", ""]`},
		"an aggregate":                 {"delay: 1h", "delay: 2h"},
		"a release":                    {"provisional: true", "provisional: false"},
	}
)

func TestDefinitionChangesExactlyWhenRowsCould(t *testing.T) {
	before := defined(t, [2]string{}, goodSQL)
	for name, change := range stored {
		if defined(t, change, goodSQL) == before {
			t.Errorf("%s changes the rows but not the definition", name)
		}
	}
	for name, change := range told {
		if defined(t, change, goodSQL) != before {
			t.Errorf("%s changes the definition but not the rows", name)
		}
	}
	if defined(t, [2]string{}, "SELECT 2") != before {
		t.Error("SQL changes the definition")
	}
}

// defined is the definition after an edit of the contract or the pipeline, of a contract with two columns of time.
func defined(t *testing.T, change [2]string, sql string) string {
	t.Helper()
	contract := edit(t, goodContract, "      - name: id\n", "      - name: at2\n        logicalType: timestamp\n        required: true\n      - name: id\n")
	contract = edit(t, contract, "  - {id: is-fresh, property: freshness, value: 2, unit: d, element: rows.at}\n", "")
	pipeline := goodPipeline
	switch {
	case change[0] == "":
	case strings.Contains(contract, change[0]):
		contract = edit(t, contract, change[0], change[1])
	default:
		pipeline = edit(t, pipeline, change[0], change[1])
	}
	d, err := Load(folder(t, contract, pipeline, sql))
	if err != nil {
		t.Fatalf("%q: %v", change, err)
	}
	return d.Definition
}
