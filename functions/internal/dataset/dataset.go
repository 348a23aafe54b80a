// Package dataset says what a dataset is: plain data that the cores share. Package folder reads it from a folder.
package dataset

import (
	"slices"
	"time"

	"github.com/almanac-data/almanac/functions/internal/window"
)

// Dataset is one folder, checked.
type Dataset struct {
	Name       string
	Title      string
	Version    string // of the contract
	Owner      string
	Retention  string   // as the contract says it, such as "10 y"; empty if it says none
	Columns    []Column // as stored, in the order of the contract
	Key        []string // names of the primary key's columns in their declared order, or none
	Rules      []Rule
	Collect    Collect
	Process    Process
	Reject     Reject
	Aggregates []Query
	Releases   []Query
	// Definition is the digest of everything that decides which rows are stored from given raw bytes
	// (columns, rules, process, reject, event time), and of nothing else.
	Definition string
	// Dir is the folder that relative paths of the pipeline start from.
	Dir string
	// Withdrawn says that nothing more is due of it. What was begun is done, and what is stored stays.
	Withdrawn bool
}

// Type is the type of a stored column.
type Type string

// The types a column can have, and their Arrow form.
const (
	String    Type = "string"    // utf8
	Integer   Type = "integer"   // int64
	Number    Type = "number"    // float64
	Decimal   Type = "decimal"   // decimal128(Precision, Scale)
	Boolean   Type = "boolean"   // bool
	Date      Type = "date"      // date32
	Timestamp Type = "timestamp" // timestamp[us, UTC]
)

// Column is one stored column.
type Column struct {
	Name           string
	Type           Type
	Precision      int // of a decimal
	Scale          int
	Required       bool
	Classification string // of the contract: public, internal, personal, ...; empty if none
	Description    string
	// Source is the name of the column in the input; Name if the pipeline renames nothing.
	Source string
	// Default replaces a missing or null input value; nil if there is none.
	Default *string
	// Formats are the accepted time layouts in Go's reference form, tried in order (Date and Timestamp).
	Formats []string
	// Line is where the contract declares it.
	Line int
}

// Personal says whether a column is.
func (d *Dataset) Personal() bool { return slices.ContainsFunc(d.Columns, Column.Personal) }

// Personal says whether values leave process only as keyed pseudonyms.
func (c Column) Personal() bool { return c.Classification == "personal" || c.Classification == "pii" }

// Collect says where rows come from and when.
type Collect struct {
	Every     window.Size
	Delay     time.Duration // a window is due once its end plus Delay has passed
	Start     time.Time     // of the first window
	End       time.Time     // zero if open
	Lateness  time.Duration // how far before its window's start an event time may lie
	EventTime string        // the column that holds it, Date or Timestamp
	Path      string        // template or glob with {yyyy} {mm} {dd} {yyyy-mm-dd} {yyyy-Www} {yyyy-mm}; relative to Dir
	Format    Format
	Line      int
}

// Windows lists the collection windows that are over by now (end plus delay), oldest first.
func (c Collect) Windows(now time.Time) []window.Window {
	until := now.Add(-c.Delay)
	if !c.End.IsZero() && c.End.Before(until) {
		until = c.End
	}
	return window.Between(c.Every, c.Start, until)
}

// Format says how bytes become records.
type Format struct {
	Kind        string   // csv or ndjson
	Delimiter   byte     // csv; one ASCII byte
	Quote       byte     // csv; 0 if fields are never quoted
	Header      bool     // csv: the first record names the columns; otherwise they come in the contract's order
	Null        []string // values that stand for null besides the empty unquoted field
	Compression string   // none, gzip, zstd or auto (by content)
}

// Process says how records become rows.
type Process struct {
	Trim     bool           // trim ASCII white space around values
	Location *time.Location // of timestamps without a zone
	Drop     []string       // input columns that are neither stored nor an error
	Filters  []Filter       // rows that match any are counted as filtered
}

// Filter drops rows for which the comparison holds.
type Filter struct {
	Column string
	Op     string // ==, !=, <, <=, >, >=, in, null, not_null
	Values []string
}

// Reject is the budget of rejected rows of a window: it stops when more rows are rejected than Rows and more than Share of those read.
type Reject struct {
	Share float64
	Rows  int64
}

// Scopes of a rule: it is decided row by row, or for a window once all of its slices are there.
const (
	ScopeRow    = "row"
	ScopeWindow = "window"
)

// Rule is one quality rule of the contract.
type Rule struct {
	Name      string // unique in the contract
	Kind      string // required, range, set, regex, length, unique, row_count, freshness, null_share
	Column    string // empty for rules of the table
	Dimension string // completeness, conformity, uniqueness, timeliness, ... (of the contract)
	Severity  string // error (row: quarantine; window: stop) or warning (counted)
	Scope     string // ScopeRow or ScopeWindow
	// Min and Max bound a range (of a Date in days, of a Timestamp in microseconds since 1970), a length in characters, a row_count
	// in rows and a null_share as a share of 1. Both are inclusive, nil if open.
	Min, Max *float64
	Set      []string      // set, of a String, or of an Integer in decimal digits
	Pattern  string        // regex (RE2), matched against the whole value
	Within   time.Duration // freshness: the newest event time is at most this before the window's end
	Columns  []string      // unique: the columns of the key
	Line     int
}

// Query is one SQL text and when it runs: an aggregate or a release.
type Query struct {
	Name   string
	Every  window.Size
	Delay  time.Duration
	SQL    string // the text
	File   string // relative to the dataset's folder
	Inputs []Input
	// Provisional says that an incomplete window may be used (and is then marked).
	Provisional bool
	// Columns is the schema of the result, if declared; nil means as the engine answers.
	OrderBy []string
	// Split names the column of a release whose values (train, test, ...) go to files of their own; empty for none.
	Split string
	// PartBy names the first column of OrderBy if the result is made in parts, which are ranges of its values and have at most PartRows rows;
	// empty if it is made as a whole. What comes out is the same.
	PartBy   string
	PartRows int64
	Line     int
}

// Input is one table that a query may see, cut to [window start - Back, window end) by event time (rows)
// or to the windows wholly within it (aggregates).
type Input struct {
	Table string // rows or the name of an aggregate of the dataset
	Back  time.Duration
}
