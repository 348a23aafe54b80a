// Package quality reads what a contract says of the quality of its columns and of its table: the rules of a dataset.
package quality

import (
	"fmt"
	"slices"
	"strings"

	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/dataset/document"
)

// Loader adds the rules of a contract to a dataset whose columns are read already, or just now.
type Loader struct {
	d *dataset.Dataset
	// later are checks that need the pipeline too.
	later []func()
}

// NewLoader is for the rules of one dataset.
func NewLoader(d *dataset.Dataset) *Loader { return &Loader{d: d} }

// Check checks what can only be checked once the pipeline is read too.
func (l *Loader) Check() {
	for _, check := range l.later {
		check()
	}
}

// kinds says of each kind of rule where it is decided, what it measures and which types it can be asked of (none: all).
var kinds = map[string]struct {
	scope, dimension string
	types            []dataset.Type
}{
	"required":   {dataset.ScopeRow, "completeness", nil},
	"range":      {dataset.ScopeRow, "conformity", []dataset.Type{dataset.Integer, dataset.Number, dataset.Decimal, dataset.Date, dataset.Timestamp}},
	"set":        {dataset.ScopeRow, "conformity", []dataset.Type{dataset.String, dataset.Integer}},
	"regex":      {dataset.ScopeRow, "conformity", []dataset.Type{dataset.String}},
	"length":     {dataset.ScopeRow, "conformity", []dataset.Type{dataset.String}},
	"unique":     {dataset.ScopeWindow, "uniqueness", nil},
	"row_count":  {dataset.ScopeWindow, "coverage", nil},
	"freshness":  {dataset.ScopeWindow, "timeliness", nil},
	"null_share": {dataset.ScopeWindow, "completeness", nil},
}

// Required adds the rule that a column has no nulls.
func (l *Loader) Required(n document.Node, column string) {
	l.add(n, dataset.Rule{Kind: "required", Column: column})
}

// Unique adds the rule that the columns of r are unique together, unless there is one.
func (l *Loader) Unique(n document.Node, r dataset.Rule) {
	r.Kind = "unique"
	for _, other := range l.d.Rules {
		if other.Kind == r.Kind && sameSet(other.Columns, r.Columns) {
			return
		}
	}
	l.add(n, r)
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// add adds a rule. It fills in what the kind decides, and keeps names unique.
func (l *Loader) add(n document.Node, r dataset.Rule) {
	k := kinds[r.Kind]
	if r.Name == "" {
		r.Name = strings.TrimPrefix(r.Column+"."+r.Kind, ".")
	}
	if r.Dimension == "" {
		r.Dimension = k.dimension
	}
	if r.Severity == "" {
		r.Severity = "error"
	}
	if r.Scope == "" {
		r.Scope = k.scope
	}
	r.Line = n.Line()
	if c := l.find(r.Column); c != nil {
		if len(k.types) > 0 && !slices.Contains(k.types, c.Type) {
			n.Fail(fmt.Sprintf("a %s rule cannot be asked of a column of type %s", r.Kind, c.Type), "remove it, or change the type")
		}
		if c.Personal() && len(k.types) > 0 {
			n.Fail("the column is personal: rules see its pseudonyms only", "remove the rule, or ask for required or unique")
		}
	}
	if r.Min != nil && r.Max != nil && *r.Min > *r.Max {
		n.Fail("no value can lie within the bounds", "put the smaller one first")
	}
	if r.Kind == "set" && len(r.Set) == 0 {
		n.Fail("the set is empty", "list the allowed values")
	}
	for _, other := range l.d.Rules {
		if other.Name == r.Name {
			n.Fail(fmt.Sprintf("the rule %q of line %d has the same name", r.Name, other.Line), "give this one an id of its own, or remove it")
		}
	}
	l.d.Rules = append(l.d.Rules, r)
}

func (l *Loader) find(name string) *dataset.Column {
	for i := range l.d.Columns {
		if l.d.Columns[i].Name == name {
			return &l.d.Columns[i]
		}
	}
	return nil
}
