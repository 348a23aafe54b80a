// Package contract reads the contract of a dataset.
package contract

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/dataset/document"
	"github.com/almanac-data/almanac/functions/internal/dataset/quality"
)

// What only describes, in each place of a contract: it is accepted and decides nothing.
var (
	describesContract = []string{
		"name", "tenant", "tags", "status", "servers", "dataProduct", "description", "domain", "support", "price", "roles",
		"authoritativeDefinitions", "customProperties", "contractCreatedTs", "context",
	}
	describesSchema = []string{
		"id", "physicalType", "description", "businessName", "authoritativeDefinitions", "tags", "customProperties",
		"dataGranularityDescription", "context", "deprecated", "synonyms",
	}
	describesColumn = []string{
		"id", "description", "businessName", "authoritativeDefinitions", "tags", "customProperties", "transformSourceObjects",
		"transformLogic", "transformDescription", "criticalDataElement", "deprecated", "synonyms", "semanticType",
	}
)

var (
	columnName  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)
	decimalType = regexp.MustCompile(`(?i)^\s*(?:DECIMAL|NUMERIC)\s*\(\s*(\d{1,3})\s*(?:,\s*(\d{1,3})\s*)?\)\s*$`)
)

// loader reads one contract. It goes on after a mistake, so that all of them are told at once.
type loader struct {
	d     *dataset.Dataset
	rules *quality.Loader
}

// Load reads an Open Data Contract Standard v3 document with one object, rows, into the dataset.
func Load(root document.Node, d *dataset.Dataset, rules *quality.Loader) {
	l := &loader{d, rules}
	f := root.Fields(append([]string{"apiVersion", "kind", "id", "version", "schema", "team", "slaProperties"}, describesContract...)...)
	f.Need("apiVersion", "write apiVersion: v3.1.0").OneOf("v3.1.0", "v3.0.2", "v3.2.0")
	f.Need("kind", "write kind: DataContract").OneOf("DataContract")
	f.Need("id", "give the contract an id").Text()
	f.Need("status", "write status: active").Text()
	l.d.Version = f.Need("version", "write version: 1.0.0").Text()
	l.d.Title = l.d.Name
	if title := f.Get("name").Text(); title != "" {
		l.d.Title = title
	}
	l.d.Owner = owner(f.Get("team"))
	schema := f.Need("schema", "describe the columns").List()
	if len(schema) != 1 {
		if f.Get("schema").Given() {
			f.Get("schema").Fail(fmt.Sprintf("it has %d objects", len(schema)), "describe the one table, rows")
		}
	} else {
		l.schema(schema[0])
	}
	l.rules.Levels(f.Get("slaProperties"))
}

// owner is the team's name, or else its member whose role is owner.
func owner(team document.Node) string {
	members := team
	if team.Mapping() {
		f := team.Members()
		if name := f.Get("name").Text(); name != "" {
			return name
		}
		members = f.Get("members")
	}
	for _, member := range members.List() {
		m := member.Members()
		if strings.EqualFold(m.Get("role").Text(), "owner") {
			if name := m.Get("name").Text(); name != "" {
				return name
			}
			return m.Get("username").Text()
		}
	}
	return ""
}

func (l *loader) schema(n document.Node) {
	f := n.Fields(append([]string{"name", "logicalType", "physicalName", "properties", "quality"}, describesSchema...)...)
	if name := f.Need("name", "write name: rows").Text(); name != "" && name != "rows" {
		f.Get("name").Failf("write name: rows", "is not the name of the table")
	}
	f.Get("logicalType").OneOf("object")
	f.Get("physicalName").OneOf("rows")
	properties := f.Need("properties", "list the columns").List()
	if f.Get("properties").Given() && len(properties) == 0 {
		f.Get("properties").Fail("there is no column", "list at least one")
	}
	positions := map[string]int64{}
	l.d.Columns = make([]dataset.Column, 0, len(properties)) // rules of a column point into it
	for _, property := range properties {
		l.property(property, positions)
	}
	l.key(f.Get("properties"), positions)
	l.rules.Items(f.Get("quality"), nil)
	l.derive(f.Get("properties"), properties)
}

func (l *loader) property(n document.Node, positions map[string]int64) {
	known := append([]string{
		"name", "logicalType", "logicalTypeOptions", "physicalType", "physicalName", "required", "unique", "primaryKey",
		"primaryKeyPosition", "classification", "enum", "quality",
	}, describesColumn...)
	f := n.Fields(known...)
	c := dataset.Column{Line: n.Line(), Description: f.Get("description").Text(), Required: f.Get("required").Bool(false)}
	c.Name = f.Need("name", "name the column").Text()
	c.Source = c.Name
	l.columnName(f.Get("name"), c.Name)
	f.Get("physicalName").OneOf(c.Name)
	l.columnType(&c, f)
	l.classification(&c, f.Get("classification"))
	if f.Get("primaryKey").Bool(false) {
		positions[c.Name] = -1
		if at, ok := f.Get("primaryKeyPosition").Whole(-1, 1000); ok {
			positions[c.Name] = at
		}
		if !c.Required {
			f.Get("primaryKey").Fail("the column may be null", "write required: true")
		}
	} else if f.Get("primaryKeyPosition").Given() {
		f.Get("primaryKeyPosition").Fail("the column is not part of the primary key", "write primaryKey: true, or remove it")
	}
	l.d.Columns = append(l.d.Columns, c)
	column := &l.d.Columns[len(l.d.Columns)-1]
	if c.Required {
		l.rules.Required(f.Get("required"), c.Name)
	}
	l.rules.Options(f.Get("logicalTypeOptions"), column)
	l.rules.Enum(f.Get("enum"), column)
	l.rules.Items(f.Get("quality"), column)
}

func (l *loader) columnName(n document.Node, name string) {
	if name == "" {
		return
	}
	if !columnName.MatchString(name) {
		n.Failf("use letters, digits and _, starting with a letter", "cannot name a column")
	}
	for _, other := range l.d.Columns {
		if strings.EqualFold(other.Name, name) {
			n.Failf("rename one; SQL does not tell upper from lower case", "names the column of line %d as well", other.Line)
		}
	}
}

// physical lists the physical types that say the same as the logical one.
var physical = map[dataset.Type][]string{
	dataset.String:    {"STRING", "VARCHAR", "TEXT"},
	dataset.Integer:   {"BIGINT", "LONG", "INT64"},
	dataset.Number:    {"DOUBLE", "FLOAT64", "DECIMAL(p,s)"},
	dataset.Boolean:   {"BOOLEAN", "BOOL"},
	dataset.Date:      {"DATE"},
	dataset.Timestamp: {"TIMESTAMP", "TIMESTAMPTZ"},
}

func (l *loader) columnType(c *dataset.Column, f document.Fields) {
	logical := f.Need("logicalType", "write one of string, date, timestamp, integer, number, boolean")
	c.Type = dataset.Type(logical.OneOf(string(dataset.String), string(dataset.Date), string(dataset.Timestamp),
		string(dataset.Integer), string(dataset.Number), string(dataset.Boolean)))
	given := f.Get("physicalType")
	text := given.Text()
	if text == "" || logical.Raw() != string(c.Type) || slices.Contains(physical[c.Type], strings.ToUpper(text)) {
		return
	}
	parts := decimalType.FindStringSubmatch(text)
	if parts == nil || c.Type != dataset.Number {
		given.Failf("leave it out, or write one of "+strings.Join(physical[c.Type], ", "), "is not how a column of type %s is stored", c.Type)
		return
	}
	c.Type = dataset.Decimal
	c.Precision, _ = strconv.Atoi(parts[1])
	c.Scale, _ = strconv.Atoi(parts[2])
	if c.Precision < 1 || c.Precision > 38 || c.Scale > c.Precision {
		given.Failf("write DECIMAL(p,s) with 1 <= p <= 38 and s <= p", "is out of range")
	}
}

func (l *loader) classification(c *dataset.Column, n document.Node) {
	if !n.Given() {
		return
	}
	c.Classification = n.OneOf("public", "internal", "restricted", "confidential", "personal", "pii")
	if c.Personal() && c.Type != dataset.String {
		n.Fail("only a string can be replaced by a pseudonym", "write logicalType: string")
	}
}

// key puts the columns of the primary key into their declared order.
func (l *loader) key(n document.Node, positions map[string]int64) {
	for _, c := range l.d.Columns {
		if _, ok := positions[c.Name]; ok {
			l.d.Key = append(l.d.Key, c.Name)
		}
	}
	slices.SortStableFunc(l.d.Key, func(a, b string) int { return int(positions[a] - positions[b]) })
	for i := 1; i < len(l.d.Key); i++ {
		a, b := l.d.Key[i-1], l.d.Key[i]
		if positions[a] == positions[b] && positions[a] >= 0 {
			n.Fail(fmt.Sprintf("%s and %s have the same primaryKeyPosition", a, b), "number them 1, 2, ...")
		}
	}
}

// derive adds the rules that unique and primaryKey stand for, unless a quality item already says them in its own words.
func (l *loader) derive(at document.Node, properties []document.Node) {
	for _, property := range properties {
		f := property.Members()
		if f.Get("unique").Bool(false) {
			l.rules.Unique(f.Get("unique"), dataset.Rule{Column: f.Get("name").Text(), Columns: []string{f.Get("name").Text()}})
		}
	}
	if len(l.d.Key) > 0 {
		l.rules.Unique(at, dataset.Rule{Name: "key.unique", Columns: l.d.Key})
	}
}
