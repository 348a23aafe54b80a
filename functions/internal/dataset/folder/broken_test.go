package folder

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const goodContract = `apiVersion: v3.1.0
kind: DataContract
id: trips
name: Trips
version: 1.2.0
status: active
team: {name: Data team}
slaProperties:
  - {property: retention, value: 10, unit: y}
  - {id: is-fresh, property: freshness, value: 2, unit: d, element: rows.at}
schema:
  - name: rows
    logicalType: object
    properties:
      - name: at
        logicalType: timestamp
        required: true
        primaryKey: true
        primaryKeyPosition: 2
        logicalTypeOptions: {minimum: "2000-01-01T00:00:00Z"}
      - name: id
        logicalType: string
        required: true
        primaryKey: true
        primaryKeyPosition: 1
        logicalTypeOptions: {minLength: 1, maxLength: 8, pattern: "[A-Z]+"}
      - name: delay
        logicalType: integer
        logicalTypeOptions: {exclusiveMinimum: -61, maximum: 600}
        quality:
          - {metric: nullValues, mustBeLessThan: 5, unit: percent, severity: warning}
      - name: fare
        logicalType: number
        physicalType: DECIMAL(9,2)
      - name: kind
        logicalType: string
        quality:
          - metric: invalidValues
            arguments: {validValues: [A, B]}
            mustBe: 0
      - name: rider
        logicalType: string
        classification: personal
      - name: ok
        logicalType: boolean
    quality:
      - {metric: rowCount, mustBeGreaterThan: 10}
`

const goodPipeline = `apiVersion: almanac.dev/v1
kind: Pipeline
collect:
  every: day
  delay: 6h
  start: 2001-01-01
  end: 2001-07-01
  lateness: 1d
  event_time: at
  source:
    path: sample/{yyyy}/{yyyy-mm-dd}.csv
    format: csv
    compression: auto
    csv: {delimiter: ";", quote: "'", header: true}
    null: ["", "NA"]
process:
  trim: true
  timezone: Europe/Berlin
  rename: {DELAY_MIN: delay}
  formats: {at: ["2006-01-02 15:04"]}
  defaults: {fare: "0.50"}
  drop: [carrier]
  filter:
    - {column: kind, op: in, values: [X, Y]}
    - {column: delay, op: not_null}
validate:
  reject: {share: 0.02, rows: 100}
aggregates:
  - name: weekly
    sql: weekly.sql
    every: week
    delay: 1h
    inputs: {rows: {back: 7d}}
  - name: monthly
    sql: weekly.sql
    every: month
    inputs: {weekly: {}}
releases:
  - name: training
    sql: weekly.sql
    every: month
    delay: 1d
    inputs: {rows: {}, weekly: {back: 2w}}
    split: split
    order_by: [at]
    provisional: true
`

const goodSQL = "-- it's all; of it\nSELECT 'a;b', id::BIGINT FROM rows WHERE at >= :start AND at < :end\n"

// folder writes a dataset named trips with its three files and gives its path.
func folder(t testing.TB, contract, pipeline, sql string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "trips")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{contractFile: contract, pipelineFile: pipeline, "weekly.sql": sql} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// edit replaces one part of a text, which must be there.
func edit(t testing.TB, text, old, with string) string {
	t.Helper()
	if strings.Count(text, old) < 1 {
		t.Fatalf("%q is not in the text", old)
	}
	return strings.Replace(text, old, with, 1)
}

type broken struct {
	old, with string
	want      string // the lines of the error, without "trips/"
}

func TestLoadNamesTheMistakeOfAContract(t *testing.T) {
	for name, test := range brokenContracts {
		t.Run(name, func(t *testing.T) {
			_, err := Load(folder(t, edit(t, goodContract, test.old, test.with), goodPipeline, goodSQL))
			compare(t, err, test.want)
		})
	}
}

func TestLoadNamesTheMistakeOfAPipeline(t *testing.T) {
	for name, test := range brokenPipelines {
		t.Run(name, func(t *testing.T) {
			_, err := Load(folder(t, goodContract, edit(t, goodPipeline, test.old, test.with), goodSQL))
			compare(t, err, test.want)
		})
	}
}

func TestLoadNamesTheMistakeOfSQL(t *testing.T) {
	for name, test := range map[string]struct{ sql, want string }{
		"two statements":     {"SELECT 1;\nSELECT 2", "weekly.sql:1: the text has a ;; write one statement, and no ; after it"},
		"unknown parameter":  {"SELECT *\nFROM rows\nWHERE at > :now", "weekly.sql:3: there is no parameter :now; use :start and :end, the bounds of the window"},
		"open quote":         {"SELECT\n'a", "weekly.sql:2: a quote or a comment is opened and not closed; close it"},
		"open comment":       {"/* SELECT 1", "weekly.sql:1: a quote or a comment is opened and not closed; close it"},
		"a change":           {"-- no\n\nDROP TABLE rows", "weekly.sql:3: the text is not a query; start it with SELECT or WITH"},
		"nothing":            {"", "weekly.sql:1: the text is not a query; start it with SELECT or WITH"},
		"not UTF-8":          {"SELECT '\xff'", "weekly.sql:1: the file is not UTF-8 text; save it as UTF-8"},
		"comment to the end": {"WITH a AS (SELECT 1) SELECT * FROM a -- done; :now", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(folder(t, goodContract, goodPipeline, test.sql))
			compare(t, err, test.want)
		})
	}
}

func compare(t *testing.T, err error, want string) {
	t.Helper()
	got := ""
	if err != nil {
		got = strings.ReplaceAll(err.Error(), "trips/", "")
	}
	if got != want {
		t.Errorf("Load says\n\t%s\nwant\n\t%s", got, want)
	}
}
