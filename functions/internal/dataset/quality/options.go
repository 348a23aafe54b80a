package quality

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/dataset/document"
)

// ranges are the bounds of the integer formats that fit into a stored integer.
var ranges = map[string][2]float64{
	"i8": {math.MinInt8, math.MaxInt8}, "i16": {math.MinInt16, math.MaxInt16}, "i32": {math.MinInt32, math.MaxInt32},
	"u8": {0, math.MaxUint8}, "u16": {0, math.MaxUint16}, "u32": {0, math.MaxUint32},
}

var bounds = []string{"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}

// Options turns the logicalTypeOptions of a column into rules of their own.
func (l *Loader) Options(n document.Node, c *dataset.Column) {
	if !n.Given() {
		return
	}
	switch c.Type {
	case dataset.String:
		l.stringOptions(n.Fields("minLength", "maxLength", "pattern"), c)
	case dataset.Integer:
		f := n.Fields(append([]string{"format"}, bounds...)...)
		l.rangeRule(n, f, c, dataset.Rule{})
		if format := f.Get("format").OneOf("i64", "i8", "i16", "i32", "u8", "u16", "u32"); format != "i64" {
			low, high := ranges[format][0], ranges[format][1]
			l.add(f.Get("format"), dataset.Rule{Name: c.Name + ".format", Kind: "range", Column: c.Name, Min: &low, Max: &high})
		}
	case dataset.Number:
		f := n.Fields(append([]string{"format"}, bounds...)...)
		f.Get("format").OneOf("f64")
		l.rangeRule(n, f, c, dataset.Rule{})
	case dataset.Decimal, dataset.Date, dataset.Timestamp:
		l.rangeRule(n, n.Fields(bounds...), c, dataset.Rule{})
	case dataset.Boolean:
		n.Fields()
	}
}

func (l *Loader) stringOptions(f document.Fields, c *dataset.Column) {
	if f.Get("minLength").Given() || f.Get("maxLength").Given() {
		r := dataset.Rule{Kind: "length", Column: c.Name}
		r.Min, r.Max = length(f.Get("minLength")), length(f.Get("maxLength"))
		at := f.Get("minLength")
		if !at.Given() {
			at = f.Get("maxLength")
		}
		l.add(at, r)
	}
	if f.Get("pattern").Given() {
		l.add(f.Get("pattern"), dataset.Rule{Kind: "regex", Column: c.Name, Pattern: pattern(f.Get("pattern"))})
	}
}

func length(n document.Node) *float64 {
	if v, ok := n.Whole(0, math.MaxInt32); ok {
		f := float64(v)
		return &f
	}
	return nil
}

func pattern(n document.Node) string {
	text := n.Text()
	if _, err := regexp.Compile(text); err != nil {
		n.Failf("write it in the syntax of RE2 (no look-around, no back-references)", "is not a regular expression: %v", err)
	}
	return text
}

// rangeRule adds a range if at least one bound is given.
func (l *Loader) rangeRule(at document.Node, f document.Fields, c *dataset.Column, r dataset.Rule) {
	r.Kind, r.Column = "range", c.Name
	given := false
	for _, name := range bounds {
		n := f.Get(name)
		if !n.Given() {
			continue
		}
		given = true
		low := strings.HasSuffix(strings.ToLower(name), "minimum")
		if v, ok := bound(n, c, low, strings.HasPrefix(name, "exclusive")); ok {
			tighten(&r, low, v)
		}
	}
	if given {
		l.add(at, r)
	}
}

func tighten(r *dataset.Rule, low bool, v float64) {
	if low && (r.Min == nil || v > *r.Min) {
		r.Min = &v
	} else if !low && (r.Max == nil || v < *r.Max) {
		r.Max = &v
	}
}

// bound reads a bound as the stored form of the column has it, made inclusive.
func bound(n document.Node, c *dataset.Column, low, exclusive bool) (float64, bool) {
	v, step, ok := 0.0, 1.0, true
	switch c.Type {
	case dataset.Date:
		var t time.Time
		t, ok = n.Time(time.DateOnly)
		v = float64(t.Unix() / 86400)
	case dataset.Timestamp:
		var t time.Time
		t, ok = n.Time(time.RFC3339Nano)
		v = float64(t.UnixMicro())
	case dataset.Integer:
		v, ok = n.Number()
		if ok && math.Abs(v) >= 1<<53 {
			n.Failf("keep it within ±2^53", "is too large to be exact")
		}
		if low && v != math.Trunc(v) { // 1.5 and above is 2 and above
			v, exclusive = math.Ceil(v), false
		} else if v != math.Trunc(v) {
			v, exclusive = math.Floor(v), false
		}
	case dataset.Decimal:
		v, ok = n.Number()
		step = math.Pow10(-c.Scale)
	case dataset.Number:
		v, ok = n.Number()
		step = 0
	case dataset.String, dataset.Boolean:
		n.Fail("a column of type "+string(c.Type)+" has no range", "remove it")
		return 0, false
	}
	switch {
	case !exclusive:
	case step == 0 && low:
		v = math.Nextafter(v, math.Inf(1))
	case step == 0:
		v = math.Nextafter(v, math.Inf(-1))
	case low:
		v += step
	default:
		v -= step
	}
	if math.IsInf(v, 0) {
		n.Failf("leave it out", "is beyond every number")
		return 0, false
	}
	return v, ok
}

// Enum turns the enum of a property into a set rule.
func (l *Loader) Enum(n document.Node, c *dataset.Column) {
	if !n.Given() {
		return
	}
	r := dataset.Rule{Kind: "set", Column: c.Name}
	for _, item := range n.List() {
		f := item.Fields("value", "label", "id", "description", "customProperties", "authoritativeDefinitions", "tags")
		if value, ok := member(f.Need("value", "write the allowed value"), c); ok {
			r.Set = append(r.Set, value)
		}
	}
	l.add(n, r)
}

// set reads the values of a set rule in the text that equals the stored value's.
func set(n document.Node, c *dataset.Column) []string {
	var values []string
	for _, item := range n.List() {
		if value, ok := member(item, c); ok {
			values = append(values, value)
		}
	}
	return values
}

func member(n document.Node, c *dataset.Column) (string, bool) {
	text := n.Text()
	switch c.Type {
	case dataset.String:
		return text, n.Given()
	case dataset.Integer:
		v, ok := n.Whole(math.MinInt64, math.MaxInt64)
		return strconv.FormatInt(v, 10), ok
	case dataset.Number, dataset.Decimal, dataset.Boolean, dataset.Date, dataset.Timestamp:
		n.Fail("a column of type "+string(c.Type)+" cannot have a set of values", "use it on strings and integers")
	}
	return "", false
}
