package folder

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/dataset/glob"
	"github.com/almanac-data/almanac/functions/internal/window"
)

func TestLoadReadsEverything(t *testing.T) {
	dir := folder(t, goodContract, goodPipeline, goodSQL)
	got, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	half := "0.50"
	want := &dataset.Dataset{
		Name: "trips", Title: "Trips", Version: "1.2.0", Owner: "Data team", Retention: "10 y", Dir: dir,
		Columns: []dataset.Column{
			{Name: "at", Type: dataset.Timestamp, Required: true, Source: "at", Formats: []string{"2006-01-02 15:04"}, Line: 15},
			{Name: "id", Type: dataset.String, Required: true, Source: "id", Line: 21},
			{Name: "delay", Type: dataset.Integer, Source: "DELAY_MIN", Line: 27},
			{Name: "fare", Type: dataset.Decimal, Precision: 9, Scale: 2, Source: "fare", Default: &half, Line: 32},
			{Name: "kind", Type: dataset.String, Source: "kind", Line: 35},
			{Name: "rider", Type: dataset.String, Source: "rider", Classification: "personal", Line: 41},
			{Name: "ok", Type: dataset.Boolean, Source: "ok", Line: 44},
		},
		Key: []string{"id", "at"},
		Rules: []dataset.Rule{
			{Name: "at.required", Kind: "required", Column: "at", Dimension: "completeness", Severity: "error", Scope: "row", Line: 17},
			{Name: "at.range", Kind: "range", Column: "at", Dimension: "conformity", Severity: "error", Scope: "row", Min: new(946684800e6), Line: 20},
			{Name: "id.required", Kind: "required", Column: "id", Dimension: "completeness", Severity: "error", Scope: "row", Line: 23},
			{Name: "id.length", Kind: "length", Column: "id", Dimension: "conformity", Severity: "error", Scope: "row", Min: new(1.0), Max: new(8.0), Line: 26},
			{Name: "id.regex", Kind: "regex", Column: "id", Dimension: "conformity", Severity: "error", Scope: "row", Pattern: "[A-Z]+", Line: 26},
			{Name: "delay.range", Kind: "range", Column: "delay", Dimension: "conformity", Severity: "error", Scope: "row", Min: new(-60.0), Max: new(600.0), Line: 29},
			{Name: "delay.null_share", Kind: "null_share", Column: "delay", Dimension: "completeness", Severity: "warning", Scope: "window", Max: new(math.Nextafter(0.05, 0)), Line: 31},
			{Name: "kind.set", Kind: "set", Column: "kind", Dimension: "conformity", Severity: "error", Scope: "row", Set: []string{"A", "B"}, Line: 38},
			{Name: "row_count", Kind: "row_count", Dimension: "coverage", Severity: "error", Scope: "window", Min: new(11.0), Line: 47},
			{Name: "key.unique", Kind: "unique", Dimension: "uniqueness", Severity: "error", Scope: "window", Columns: []string{"id", "at"}, Line: 14},
			{Name: "is-fresh", Kind: "freshness", Dimension: "timeliness", Severity: "error", Scope: "window", Within: 48 * time.Hour, Line: 10},
		},
		Collect: dataset.Collect{
			Every: window.Day, Delay: 6 * time.Hour, Start: day(2001, 1, 1), End: day(2001, 7, 1), Lateness: 24 * time.Hour, EventTime: "at",
			Path: "sample/{yyyy}/{yyyy-mm-dd}.csv", Line: 3,
			Format: dataset.Format{Kind: "csv", Delimiter: ';', Quote: '\'', Header: true, Null: []string{"", "NA"}, Compression: "auto"},
		},
		Process: dataset.Process{
			Trim: true, Location: berlin, Drop: []string{"carrier"},
			Filters: []dataset.Filter{{Column: "kind", Op: "in", Values: []string{"X", "Y"}}, {Column: "delay", Op: "not_null"}},
		},
		Reject: dataset.Reject{Share: 0.02, Rows: 100},
		Aggregates: []dataset.Query{
			{Name: "weekly", Every: window.Week, Delay: time.Hour, SQL: goodSQL, File: "weekly.sql", Inputs: []dataset.Input{{Table: "rows", Back: 168 * time.Hour}}, Line: 29},
			{Name: "monthly", Every: window.Month, SQL: goodSQL, File: "weekly.sql", Inputs: []dataset.Input{{Table: "weekly"}}, Line: 34},
		},
		Releases: []dataset.Query{{
			Name: "training", Every: window.Month, Delay: 24 * time.Hour, SQL: goodSQL, File: "weekly.sql",
			Inputs: []dataset.Input{{Table: "rows"}, {Table: "weekly", Back: 336 * time.Hour}}, Provisional: true, OrderBy: []string{"at"}, Split: "split", Line: 39,
		}},
		Definition: got.Definition,
	}
	same := cmp.Comparer(func(a, b *time.Location) bool { return a.String() == b.String() })
	if diff := cmp.Diff(want, got, same); diff != "" {
		t.Errorf("Load differs (-want +got):\n%s", diff)
	}
}

func TestPartsHaveASizeOfTheirOwnOrTheUsualOne(t *testing.T) {
	for more, want := range map[string]int64{"": 5_000_000, "\n    part_rows: 1000": 1000} {
		pipeline := edit(t, edit(t, goodPipeline, "order_by: [at]", "order_by: [at, id]\n    part_by: at"+more),
			"inputs: {weekly: {}}", "inputs: {weekly: {}}\n    order_by: [id]\n    part_by: id"+more)
		d, err := Load(folder(t, goodContract, pipeline, goodSQL))
		if err != nil {
			t.Fatal(err)
		}
		for q, by := range map[*dataset.Query]string{&d.Releases[0]: "at", &d.Aggregates[1]: "id"} {
			if q.PartBy != by || q.PartRows != want {
				t.Errorf("%s has parts by %s of %d rows, want by %s of %d", q.Name, q.PartBy, q.PartRows, by, want)
			}
		}
	}
}

func day(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

func TestRulesSayWhatTheContractAsks(t *testing.T) {
	for name, test := range map[string]struct {
		old, with string
		want      dataset.Rule // but the line and the severity
	}{
		"no nulls is asked of each row": {
			"{metric: nullValues, mustBeLessThan: 5, unit: percent, severity: warning}", "{id: known, metric: nullValues, mustBe: 0}",
			dataset.Rule{Name: "known", Kind: "required", Column: "delay", Dimension: "completeness", Scope: "row"},
		},
		"no nulls can be asked of a window": {
			"{metric: nullValues, mustBeLessThan: 5, unit: percent, severity: warning}",
			"{id: known, metric: nullValues, mustBe: 0, customProperties: [{property: scope, value: window}]}",
			dataset.Rule{Name: "known", Kind: "null_share", Column: "delay", Dimension: "completeness", Scope: "window", Min: new(0.0), Max: new(0.0)},
		},
		"missing values that the pipeline reads as null": {
			"{metric: nullValues, mustBeLessThan: 5, unit: percent, severity: warning}",
			"{metric: missingValues, arguments: {missingValues: [null, '', NA]}, mustBeLessOrEqualTo: 10, unit: percent}",
			dataset.Rule{Name: "delay.null_share", Kind: "null_share", Column: "delay", Dimension: "completeness", Scope: "window", Max: new(0.1)},
		},
		"the word of version 3.0": {
			"{metric: rowCount, mustBeGreaterThan: 10}", "{rule: rowCount, mustBeBetween: [1, 5], name: some rows}",
			dataset.Rule{Name: "some rows", Kind: "row_count", Dimension: "coverage", Scope: "window", Min: new(1.0), Max: new(5.0)},
		},
		"a pattern": {
			"arguments: {validValues: [A, B]}", "arguments: {pattern: '^[AB]$'}",
			dataset.Rule{Name: "kind.regex", Kind: "regex", Column: "kind", Dimension: "conformity", Scope: "row", Pattern: "^[AB]$"},
		},
		"an enum": {
			"        quality:\n          - metric: invalidValues\n            arguments: {validValues: [A, B]}\n            mustBe: 0\n",
			"        enum: [{value: A}, {value: B, label: bus}]\n",
			dataset.Rule{Name: "kind.set", Kind: "set", Column: "kind", Dimension: "conformity", Scope: "row", Set: []string{"A", "B"}},
		},
		"a key in the contract's own words": {
			"{metric: rowCount, mustBeGreaterThan: 10}", "{id: once, metric: duplicateValues, mustBe: 0, arguments: {properties: [at, id]}}",
			dataset.Rule{Name: "once", Kind: "unique", Dimension: "uniqueness", Scope: "window", Columns: []string{"at", "id"}},
		},
		"one unique column": {
			"classification: personal", "unique: true",
			dataset.Rule{Name: "rider.unique", Kind: "unique", Column: "rider", Dimension: "uniqueness", Scope: "window", Columns: []string{"rider"}},
		},
		"freshness with a dimension of its own": {
			"{metric: rowCount, mustBeGreaterThan: 10}", "{type: custom, engine: almanac, dimension: coverage, implementation: {rule: freshness, within: 1d12h}}",
			dataset.Rule{Name: "freshness", Kind: "freshness", Dimension: "coverage", Scope: "window", Within: 36 * time.Hour},
		},
		"a length": {
			"classification: personal", "quality: [{type: custom, engine: almanac, implementation: {rule: length, maximum: 3}}]",
			dataset.Rule{Name: "rider.length", Kind: "length", Column: "rider", Dimension: "conformity", Scope: "row", Max: new(3.0)},
		},
		"an exclusive bound of a decimal": {
			"physicalType: DECIMAL(9,2)", "physicalType: DECIMAL(9,2)\n        logicalTypeOptions: {exclusiveMinimum: 0}",
			dataset.Rule{Name: "fare.range", Kind: "range", Column: "fare", Dimension: "conformity", Scope: "row", Min: new(0.01)},
		},
		"an exclusive bound of a number": {
			"        physicalType: DECIMAL(9,2)", "        logicalTypeOptions: {exclusiveMaximum: 1, maximum: 2, format: f64}",
			dataset.Rule{Name: "fare.range", Kind: "range", Column: "fare", Dimension: "conformity", Scope: "row", Max: new(math.Nextafter(1, 0))},
		},
		"a format of integers": {
			"maximum: 600", "format: u8",
			dataset.Rule{Name: "delay.format", Kind: "range", Column: "delay", Dimension: "conformity", Scope: "row", Min: new(0.0), Max: new(255.0)},
		},
		"a fraction bounds the integers beyond it": {
			"exclusiveMinimum: -61, maximum: 600", "exclusiveMinimum: 1.5, exclusiveMaximum: 2.5",
			dataset.Rule{Name: "delay.range", Kind: "range", Column: "delay", Dimension: "conformity", Scope: "row", Min: new(2.0), Max: new(2.0)},
		},
		"a range of days": {
			"logicalType: boolean", "logicalType: date\n        logicalTypeOptions: {minimum: 1970-01-02, exclusiveMaximum: 1970-01-05}",
			dataset.Rule{Name: "ok.range", Kind: "range", Column: "ok", Dimension: "conformity", Scope: "row", Min: new(1.0), Max: new(3.0)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := Load(folder(t, edit(t, goodContract, test.old, test.with), goodPipeline, goodSQL))
			if err != nil {
				t.Fatal(err)
			}
			names := map[string]bool{}
			found := false
			for _, r := range d.Rules {
				if names[r.Name] {
					t.Errorf("two rules are named %s", r.Name)
				}
				names[r.Name] = true
				if r.Name == test.want.Name {
					found = true
					r.Line, r.Severity = 0, ""
					if diff := cmp.Diff(test.want, r); diff != "" {
						t.Errorf("rule differs (-want +got):\n%s", diff)
					}
				}
			}
			if !found {
				t.Errorf("there is no rule %s among %v", test.want.Name, names)
			}
			if test.want.Name == "once" && names["key.unique"] {
				t.Error("the key is asked for twice")
			}
		})
	}
}

func TestOwnerIsTheTeamOrItsOwner(t *testing.T) {
	for team, want := range map[string]string{
		"team: {members: [{username: a, role: reader}, {username: b, role: Owner}]}": "b",
		"team: [{username: a, name: Ada, role: owner}]":                              "Ada",
		"team: [{username: a, role: reader}]":                                        "",
	} {
		d, err := Load(folder(t, edit(t, goodContract, "team: {name: Data team}", team), goodPipeline, goodSQL))
		if err != nil {
			t.Fatal(err)
		}
		if d.Owner != want {
			t.Errorf("%s: owner %q, want %q", team, d.Owner, want)
		}
	}
}

func TestLoadAllTellsTheMistakesOfAllFolders(t *testing.T) {
	root := t.TempDir()
	for name, contract := range map[string]string{"b": "kind: x", "Upper": "", "releases": "", "a": goodContract, "notes": ""} {
		dir := filepath.Join(root, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		file := contractFile
		if name == "notes" {
			file = "notes.txt"
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(contract), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_, err := LoadAll(root)
	if err == nil {
		t.Fatal("LoadAll says nothing")
	}
	for _, want := range []string{
		`Upper/contract.yaml:1: the folder's name "Upper" cannot name a dataset`, `releases/contract.yaml:1: the folder's name "releases"`,
		"a/pipeline.yaml:1: the file is missing; add it", "b/contract.yaml:1: kind: \"x\" is not supported",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("LoadAll says %v, want also %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "notes") {
		t.Errorf("LoadAll reads a folder without a dataset: %v", err)
	}
	if _, err := LoadAll(filepath.Join(root, "none")); err == nil {
		t.Error("LoadAll of a folder that is not there says nothing")
	}
}

func TestLoadAllReadsTheDatasetsOfTheRepository(t *testing.T) {
	all, err := LoadAll("../../../../spark-jobs")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 2 || all[0].Name != "births" {
		t.Errorf("LoadAll gives %d datasets", len(all))
	}
}

func TestLoadReadsBirths(t *testing.T) {
	d, err := Load("../../../../spark-jobs/births")
	if err != nil {
		t.Fatal(err)
	}
	windows := d.Collect.Windows(day(2000, 1, 1))
	if len(windows) != 157 || windows[0].Key() != "1986-W01" || windows[156].Key() != "1988-W52" {
		t.Errorf("births has %d windows %v", len(windows), windows)
	}
	for _, w := range windows {
		if _, err := os.Stat(glob.Of(d, w)); err != nil {
			t.Error(err)
		}
	}
}
