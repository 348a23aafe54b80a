package quality

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/dataset/column"
	"github.com/almanac-data/almanac/functions/internal/dataset/document"
)

var (
	operators = []string{
		"mustBe", "mustNotBe", "mustBeGreaterThan", "mustBeGreaterOrEqualTo", "mustBeLessThan", "mustBeLessOrEqualTo",
		"mustBeBetween", "mustNotBeBetween",
	}
	describesQuality = []string{"description", "businessImpact", "method", "tags", "authoritativeDefinitions"}
	dimensions       = []string{"accuracy", "completeness", "conformity", "consistency", "coverage", "timeliness", "uniqueness"}
)

// item is one quality item on its way to a rule.
type item struct {
	document.Fields

	at     document.Node
	column *dataset.Column // nil: of the table
	rule   dataset.Rule
	scope  document.Node
}

// Items reads the quality items of a column, or of the table, which is nil.
func (l *Loader) Items(n document.Node, c *dataset.Column) {
	for _, one := range n.List() {
		known := append([]string{
			"id", "name", "type", "metric", "rule", "arguments", "unit", "dimension", "severity", "customProperties", "engine", "implementation", "query",
		}, append(operators, describesQuality...)...)
		q := &item{Fields: one.Fields(known...), at: one, column: c}
		q.head()
		switch what := q.Get("type"); what.Raw() {
		case "sql", "text":
			what.Failf("say it with type: library or custom, or take it out of the contract", "is not a rule that Almanac can decide")
		case "custom":
			l.custom(q)
		default:
			what.OneOf("library", "custom")
			l.library(q)
		}
	}
}

func (q *item) head() {
	r := &q.rule
	if r.Name = q.Get("id").Text(); r.Name == "" {
		r.Name = q.Get("name").Text()
	}
	if q.column != nil {
		r.Column = q.column.Name
	}
	r.Severity = q.Get("severity").OneOf("error", "warning")
	if q.Get("dimension").Given() {
		r.Dimension = q.Get("dimension").OneOf(dimensions...)
	}
	for _, property := range q.Get("customProperties").List() {
		f := property.Fields("id", "property", "value", "description")
		scope := f.Need("value", "write row or window")
		scope.OneOf(dataset.ScopeRow, dataset.ScopeWindow)
		if f.Need("property", "write scope").OneOf("scope") == f.Get("property").Raw() && (scope.Raw() == dataset.ScopeRow || scope.Raw() == dataset.ScopeWindow) {
			q.scope = scope
		}
	}
}

// done adds the rule, after it is sure that the declared scope is the one the kind is decided in.
func (l *Loader) done(q *item) {
	if want := kinds[q.rule.Kind].scope; q.scope.Given() && q.scope.Raw() != want {
		q.scope.Failf("remove it, or write "+want, "is not where a %s rule is decided", q.rule.Kind)
	}
	l.add(q.at, q.rule)
}

func (l *Loader) library(q *item) {
	for _, name := range []string{"engine", "implementation", "query"} {
		if q.Get(name).Given() {
			q.Get(name).Fail("does not belong to type: library", "remove it")
		}
	}
	metric := q.Get("metric")
	if old := q.Get("rule"); old.Given() && !metric.Given() {
		metric = old
	} else if !metric.Given() {
		q.at.Fail("the metric is missing", "write metric: nullValues, missingValues, invalidValues, duplicateValues or rowCount")
		return
	}
	name := metric.OneOf("", "nullValues", "missingValues", "invalidValues", "duplicateValues", "rowCount", "duplicateCount")
	if forTable := name == "rowCount"; q.column == nil && !forTable && !strings.HasPrefix(name, "duplicate") && name != "" {
		metric.Failf("move it to the quality of a property", "is asked of a column")
		return
	} else if q.column != nil && forTable {
		metric.Failf("move it to the quality of the schema", "is asked of the table")
		return
	}
	switch name {
	case "nullValues":
		q.arguments()
		l.nulls(q)
	case "missingValues":
		l.missing(q)
		l.nulls(q)
	case "invalidValues":
		l.invalid(q)
	case "duplicateValues", "duplicateCount":
		l.duplicates(q)
	case "rowCount":
		q.arguments()
		q.rule.Min, q.rule.Max = q.bounds("rows")
		q.rule.Kind = "row_count"
		l.done(q)
	}
}

func (q *item) arguments(known ...string) document.Fields {
	return q.Get("arguments").Fields(known...)
}

// nulls makes a row rule of "no nulls", and a window rule of a share of nulls.
func (l *Loader) nulls(q *item) {
	share := q.Get("unit").Raw() == "percent"
	q.rule.Min, q.rule.Max = q.bounds("rows", "percent")
	none := q.rule.Max != nil && *q.rule.Max == 0
	switch {
	case none && q.scope.Raw() != dataset.ScopeWindow:
		q.rule.Kind, q.rule.Min, q.rule.Max = "required", nil, nil
	case none || share:
		q.rule.Kind = "null_share"
	default:
		q.at.Fail("a number of nulls cannot be bounded", "write mustBe: 0, or a bound with unit: percent")
		return
	}
	l.done(q)
}

// missing checks that every value the item calls missing is read as null.
func (l *Loader) missing(q *item) {
	values := q.arguments("missingValues").Need("missingValues", "list the values that stand for missing")
	for _, value := range values.List() {
		if value.Null() {
			continue
		}
		text := value.Text()
		l.later = append(l.later, func() {
			if !slices.Contains(l.d.Collect.Format.Null, text) {
				value.Failf("add it to collect.source.null in pipeline.yaml", "is not read as null")
			}
		})
	}
}

func (l *Loader) invalid(q *item) {
	q.none("use validate.reject in pipeline.yaml for a budget")
	args := q.arguments("validValues", "pattern")
	valid, regex := args.Get("validValues"), args.Get("pattern")
	if valid.Given() == regex.Given() {
		q.at.Fail("it needs one of the arguments validValues and pattern", "write one; two rules can be two items")
		return
	}
	if valid.Given() {
		q.rule.Kind, q.rule.Set = "set", set(valid, q.column)
	} else {
		q.rule.Kind, q.rule.Pattern = "regex", pattern(regex)
	}
	l.done(q)
}

func (l *Loader) duplicates(q *item) {
	q.none("a key is unique or it is not")
	q.rule.Kind = "unique"
	if q.column != nil {
		q.arguments()
		q.rule.Columns = []string{q.column.Name}
		l.done(q)
		return
	}
	properties := q.arguments("properties").Need("properties", "list the columns that are unique together")
	for _, n := range properties.List() {
		if c := column.Named(n, l.d, n.Text()); c != nil {
			q.rule.Columns = append(q.rule.Columns, c.Name)
		}
	}
	if len(properties.List()) == 0 {
		q.at.Fail("it names no column", "write arguments: {properties: [...]}")
	}
	if len(q.rule.Columns) == 0 {
		return
	}
	if q.rule.Name == "" {
		q.rule.Name = strings.Join(q.rule.Columns, "_") + ".unique"
	}
	l.done(q)
}

// none demands that the item allows no bad row at all.
func (q *item) none(do string) {
	if _, high := q.bounds("rows", "percent"); high == nil || *high != 0 {
		q.at.Fail("only mustBe: 0 can be decided row by row", "write mustBe: 0; "+do)
	}
}

// bounds reads the item's one operator as inclusive bounds: of a number of rows, or of a share for unit: percent.
func (q *item) bounds(units ...string) (low, high *float64) {
	share := q.Get("unit").OneOf(units...) == "percent"
	var given []document.Node
	for _, name := range operators {
		if q.Get(name).Given() {
			given = append(given, q.Get(name))
		}
	}
	if len(given) != 1 {
		q.at.Fail(fmt.Sprintf("it has %d operators", len(given)), "write exactly one of "+strings.Join(operators, ", "))
		return nil, nil
	}
	for _, name := range operators {
		n := q.Get(name)
		switch {
		case !n.Given():
		case strings.HasPrefix(name, "mustNot"):
			n.Fail("is not supported", "write what the value must be")
		case name == "mustBeBetween":
			if pair := n.List(); len(pair) == 2 {
				return count(pair[0], share, 0), count(pair[1], share, 0)
			}
			n.Fail("needs two numbers", "write [least, most]")
		case name == "mustBe":
			return count(n, share, 0), count(n, share, 0)
		case name == "mustBeGreaterThan":
			return count(n, share, 1), nil
		case name == "mustBeGreaterOrEqualTo":
			return count(n, share, 0), nil
		case name == "mustBeLessThan":
			return nil, count(n, share, -1)
		default:
			return nil, count(n, share, 0)
		}
	}
	return nil, nil
}

// count reads a bound; step moves an exclusive one to the next value that is allowed.
func count(n document.Node, share bool, step int) *float64 {
	v, ok := n.Number()
	if !ok {
		return nil
	}
	switch {
	case v < 0 || share && v > 100:
		n.Failf("write a number of rows, or 0 to 100 percent", "is out of range")
	case share && step != 0:
		v = math.Nextafter(v/100, math.Inf(step))
	case share:
		v /= 100
	case v != math.Trunc(v):
		n.Failf("write a whole number of rows", "is not a number of rows")
	default:
		v += float64(step)
	}
	return &v
}

// custom reads the rules that the standard's library has no word for, with engine: almanac.
func (l *Loader) custom(q *item) {
	for _, name := range append([]string{"metric", "rule", "arguments", "unit", "query"}, operators...) {
		if q.Get(name).Given() {
			q.Get(name).Fail("does not belong to type: custom", "write it within implementation, or remove it")
		}
	}
	q.Need("engine", "write engine: almanac").OneOf("almanac")
	n := q.Need("implementation", "write implementation: {rule: range, minimum: 0}")
	rule := n.Members().Need("rule", "write rule: range, length or freshness").OneOf("", "range", "length", "freshness")
	switch {
	case rule == "freshness":
		f := n.Fields("rule", "within")
		q.rule.Kind, q.rule.Within = rule, f.Need("within", "write within: 2d").Duration()
		l.fresh(q.at, q.rule.Column)
		q.rule.Column = ""
		l.done(q)
	case q.column == nil && rule != "":
		n.Fail(rule+" is asked of a column", "move it to the quality of a property")
	case rule == "range":
		l.rangeOf(q, n)
	case rule == "length":
		f := n.Fields("rule", "minimum", "maximum")
		q.rule.Kind, q.rule.Min, q.rule.Max = rule, length(f.Get("minimum")), length(f.Get("maximum"))
		if q.rule.Min == nil && q.rule.Max == nil {
			n.Fail("it has no bound", "write minimum or maximum")
		}
		l.done(q)
	}
}

func (l *Loader) rangeOf(q *item, n document.Node) {
	f := n.Fields(append([]string{"rule"}, bounds...)...)
	before := len(l.d.Rules)
	if q.scope.Given() && q.scope.Raw() != dataset.ScopeRow {
		q.scope.Failf("remove it, or write row", "is not where a range rule is decided")
	}
	l.rangeRule(q.at, f, q.column, q.rule)
	if len(l.d.Rules) == before {
		n.Fail("it has no bound", "write minimum or maximum")
	}
}

// fresh checks that freshness is asked of the event time.
func (l *Loader) fresh(n document.Node, column string) {
	l.later = append(l.later, func() {
		if at := l.d.Collect.EventTime; column != "" && at != "" && column != at {
			n.Fail("freshness is asked of "+column, "ask it of the event time, "+at)
		}
	})
}

// Levels reads the service levels: freshness becomes a rule, retention is kept, the others describe.
func (l *Loader) Levels(n document.Node) {
	for _, level := range n.List() {
		f := level.Fields("id", "property", "value", "valueExt", "unit", "element", "driver", "description", "scheduler", "schedule",
			"customProperties", "authoritativeDefinitions")
		value, unit := f.Need("value", "write its value"), f.Get("unit").Text()
		switch f.Need("property", "name the service level").Text() {
		case "retention":
			l.d.Retention = strings.TrimSpace(value.Text() + " " + unit)
		case "freshness":
			_, column, ok := strings.Cut(f.Need("element", "write element: rows.<event time>").Text(), ".")
			if !ok {
				column = "none"
			}
			l.fresh(f.Get("element"), column)
			l.add(level, dataset.Rule{Name: f.Get("id").Text(), Kind: "freshness", Within: amount(value, f.Get("unit"))})
		}
	}
}

func amount(value, unit document.Node) time.Duration {
	v, ok := value.Whole(1, 100_000)
	name := unit.OneOf("d", "day", "days", "h", "hr", "hour", "hours", "m", "min", "minute", "minutes")
	if !ok {
		return 0
	}
	return time.Duration(v) * map[byte]time.Duration{'d': 24 * time.Hour, 'h': time.Hour, 'm': time.Minute}[name[0]]
}
