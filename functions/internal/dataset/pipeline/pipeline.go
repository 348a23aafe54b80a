// Package pipeline reads the pipeline of a dataset: where rows come from, what becomes of them, and which SQL makes what of them.
package pipeline

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // a machine without zone files knows the same zones

	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/dataset/column"
	"github.com/almanac-data/almanac/functions/internal/dataset/document"
	"github.com/almanac-data/almanac/functions/internal/dataset/glob"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// loader reads one pipeline. It goes on after a mistake, so that all of them are told at once.
type loader struct {
	*document.Folder

	d *dataset.Dataset
}

// Load reads a pipeline, and the SQL that it names in the folder, into the dataset, whose contract is read already.
func Load(root document.Node, d *dataset.Dataset, folder *document.Folder) {
	l := &loader{folder, d}
	f := root.Fields("apiVersion", "kind", "collect", "process", "validate", "aggregates", "releases")
	f.Need("apiVersion", "write apiVersion: almanac.dev/v1").OneOf("almanac.dev/v1")
	f.Need("kind", "write kind: Pipeline").OneOf("Pipeline")
	l.d.Process.Location = time.UTC
	l.collect(f.Need("collect", "say where rows come from, and when"))
	l.process(f.Get("process"))
	reject := f.Get("validate").Fields("reject").Get("reject").Fields("share", "rows")
	if share, ok := reject.Get("share").Number(); ok {
		if l.d.Reject.Share = share; share < 0 || share > 1 {
			reject.Get("share").Failf("write a number from 0 to 1", "is not a share")
		}
	}
	l.d.Reject.Rows, _ = reject.Get("rows").Whole(0, math.MaxInt64)
	l.queries(f.Get("aggregates"), f.Get("releases"))
}

func size(n document.Node) window.Size {
	return window.Size(n.OneOf(string(window.Day), string(window.Week), string(window.Month), string(window.Year)))
}

func (l *loader) collect(n document.Node) {
	f := n.Fields("every", "delay", "start", "end", "lateness", "event_time", "source")
	c := &l.d.Collect
	c.Line = n.Line()
	c.Every = size(f.Need("every", "write one of day, week, month, year"))
	c.Delay = f.Get("delay").Duration()
	c.Lateness = f.Get("lateness").Duration()
	c.Start = date(f.Need("start", "write the first day of the first window"), c.Every)
	c.End = date(f.Get("end"), c.Every)
	if !c.End.IsZero() && !c.Start.Before(c.End) {
		f.Get("end").Failf("write a day after the start", "is not after the start")
	}
	at := f.Need("event_time", "name the column that says when a row happened")
	if at.Text() == "" {
		// said above
	} else if column := column.Named(at, l.d, at.Text()); column != nil {
		c.EventTime = column.Name
		if column.Type != dataset.Date && column.Type != dataset.Timestamp {
			at.Failf("name a date or a timestamp", "is a column of type %s", column.Type)
		}
		if !column.Required {
			at.Failf("write required: true in contract.yaml", "may be null")
		}
	}
	l.source(f.Need("source", "say where the files are"))
}

// date reads a day on which a window starts.
func date(n document.Node, every window.Size) time.Time {
	t, ok := n.Time(time.DateOnly)
	if !ok {
		return time.Time{}
	}
	if w := window.At(every, t); !w.Start.Equal(t) {
		n.Failf(fmt.Sprintf("write %s or %s", w.Start.Format(time.DateOnly), w.End.Format(time.DateOnly)), "is not the start of a %s", every)
	}
	return t
}

func (l *loader) source(n document.Node) {
	f := n.Fields("path", "format", "compression", "csv", "null")
	c := &l.d.Collect
	at := f.Need("path", "write a path such as sample/{yyyy-mm-dd}.csv.gz")
	if c.Path = at.Text(); c.Path != "" {
		glob.Check(at, *c)
	}
	format := &c.Format
	format.Kind = f.Get("format").OneOf("csv", "ndjson")
	format.Compression = f.Get("compression").OneOf("auto", "none", "gzip", "zstd")
	format.Null = f.Get("null").Texts()
	csv := f.Get("csv")
	if format.Kind != "csv" {
		if csv.Given() {
			csv.Fail("the format is "+format.Kind, "remove it")
		}
		return
	}
	options := csv.Fields("delimiter", "quote", "header")
	format.Delimiter = octet(options.Get("delimiter"), ',')
	format.Quote = octet(options.Get("quote"), '"')
	format.Header = options.Get("header").Bool(true)
	switch format.Delimiter {
	case 0:
		options.Get("delimiter").Fail("is empty", "write one character")
	case format.Quote:
		csv.Fail("the delimiter and the quote are the same", "change one")
	}
}

// octet reads one ASCII character that can stand in the structure of a CSV file; an empty text is 0.
func octet(n document.Node, missing byte) byte {
	if !n.Given() {
		return missing
	}
	text := n.Text()
	if text == "" {
		return 0
	}
	if len(text) != 1 || text[0] >= 0x7f || text[0] < ' ' && text[0] != '\t' {
		n.Failf(`write one ASCII character, such as ",", ";" or "\t"`, "cannot be used")
		return missing
	}
	return text[0]
}

func (l *loader) process(n document.Node) {
	f := n.Fields("trim", "timezone", "rename", "formats", "defaults", "drop", "filter")
	p := &l.d.Process
	p.Trim = f.Get("trim").Bool(false)
	if name := f.Get("timezone").Text(); name != "" {
		location, err := time.LoadLocation(name)
		if err != nil || name == "Local" {
			f.Get("timezone").Failf("write a name such as Europe/Berlin or UTC", "is not a time zone")
		} else {
			p.Location = location
		}
	}
	l.rename(f.Get("rename"))
	formats := f.Get("formats").Members()
	for _, name := range formats.Names() {
		l.formats(formats.Get(name), name)
	}
	defaults := f.Get("defaults").Members()
	for _, name := range defaults.Names() {
		at := defaults.Get(name)
		if c := column.Named(at, l.d, name); c != nil {
			text := at.Text()
			column.Check(at, *c, text)
			c.Default = &text
		}
	}
	l.drop(f.Get("drop"))
	for _, one := range f.Get("filter").List() {
		l.filter(one)
	}
}

func (l *loader) rename(n document.Node) {
	members := n.Members()
	if n.Given() && !l.d.Collect.Format.Header && l.d.Collect.Format.Kind == "csv" {
		n.Fail("the files have no header, so their columns have no names", "remove it, or write header: true")
	}
	from := map[string]string{}
	for _, input := range members.Names() {
		at := members.Get(input)
		c := column.Named(at, l.d, at.Text())
		switch {
		case c == nil:
		case from[c.Name] != "":
			at.Failf("keep one", "already comes from %s", from[c.Name])
		default:
			c.Source = input
			from[c.Name] = input
		}
	}
	for i, c := range l.d.Columns {
		for _, other := range l.d.Columns[:i] {
			if other.Source == c.Source {
				n.Fail(fmt.Sprintf("the input column %q would go to %s and %s", c.Source, other.Name, c.Name), "give each column an input of its own")
			}
		}
	}
}

func (l *loader) formats(n document.Node, name string) {
	c := column.Named(n, l.d, name)
	if c == nil {
		return
	}
	if c.Type != dataset.Date && c.Type != dataset.Timestamp {
		n.Fail(fmt.Sprintf("a column of type %s has no time format", c.Type), "remove it")
	}
	sample := time.Date(2003, 4, 25, 16, 17, 18, 0, time.UTC)
	for _, item := range n.List() {
		layout := item.Text()
		back, err := time.Parse(layout, sample.Format(layout))
		if err != nil || back.UTC().Format(time.DateOnly) != sample.Format(time.DateOnly) {
			item.Failf("write it as Go does, such as 2006-01-02 15:04:05", "does not say year, month and day")
		}
		c.Formats = append(c.Formats, layout)
	}
}

func (l *loader) drop(n document.Node) {
	if n.Given() && !l.d.Collect.Format.Header && l.d.Collect.Format.Kind == "csv" {
		n.Fail("the files have no header, so their columns have no names", "remove it, or write header: true")
	}
	for _, item := range n.List() {
		name := item.Text()
		l.d.Process.Drop = append(l.d.Process.Drop, name)
		for _, c := range l.d.Columns {
			if c.Source == name {
				item.Failf("remove it here, or the column from the contract", "is stored as %s", c.Name)
			}
		}
	}
}

func (l *loader) filter(n document.Node) {
	f := n.Fields("column", "op", "values")
	at, op := f.Need("column", "name a column of the contract"), f.Need("op", "write one of ==, !=, <, <=, >, >=, in, null, not_null")
	filter := dataset.Filter{
		Column: at.Text(), Op: op.OneOf("==", "!=", "<", "<=", ">", ">=", "in", "null", "not_null"), Values: f.Get("values").Texts(),
	}
	switch count := len(filter.Values); {
	case op.Raw() != filter.Op: // said above
	case strings.HasSuffix(filter.Op, "null"):
		if count > 0 {
			f.Get("values").Fail(filter.Op+" compares with nothing", "remove it")
		}
	case filter.Op == "in" && count == 0, filter.Op != "in" && count != 1:
		n.Fail(fmt.Sprintf("%s is given %d values", filter.Op, count), "write values: [one], or several for in")
	}
	if filter.Column == "" {
		return
	}
	if c := column.Named(at, l.d, filter.Column); c != nil {
		for i, item := range f.Get("values").List() {
			if i < len(filter.Values) {
				column.Check(item, *c, filter.Values[i])
			}
		}
		if c.Type == dataset.Boolean && !slices.Contains([]string{"==", "!=", "in", "null", "not_null"}, filter.Op) {
			op.Failf("compare with == or !=", "cannot order a boolean")
		}
	}
	l.d.Process.Filters = append(l.d.Process.Filters, filter)
}
