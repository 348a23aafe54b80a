package pipeline

import (
	"fmt"
	"math"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/dataset/document"
	"github.com/almanac-data/almanac/functions/internal/dataset/sql"
)

var queryName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// queries reads the aggregates, then the releases, which may read any of them.
func (l *loader) queries(aggregates, releases document.Node) {
	tables := map[string]bool{"rows": true}
	items := aggregates.List()
	for _, item := range items {
		if name := item.Members().Get("name").Text(); name != "" {
			tables[name] = true
		}
	}
	names := map[string]bool{"rows": true, "quarantine": true, "raw": true, "staging": true}
	for _, item := range items {
		f := item.Fields("name", "sql", "every", "delay", "inputs", "order_by", "part_by", "part_rows")
		q := l.query(item, f, names, tables)
		order(f, &q)
		l.d.Aggregates = append(l.d.Aggregates, q)
	}
	l.cycles(items)
	names = map[string]bool{}
	for _, item := range releases.List() {
		f := item.Fields("name", "sql", "every", "delay", "inputs", "split", "order_by", "part_by", "part_rows", "provisional")
		q := l.query(item, f, names, tables)
		order(f, &q)
		q.Split, q.Provisional = f.Get("split").Text(), f.Get("provisional").Bool(false)
		l.d.Releases = append(l.d.Releases, q)
	}
}

func (l *loader) query(n document.Node, f document.Fields, taken, tables map[string]bool) dataset.Query {
	at := f.Need("name", "give it a name")
	q := dataset.Query{Name: at.Text(), Line: n.Line(), Delay: f.Get("delay").Duration()}
	switch {
	case q.Name == "":
	case !queryName.MatchString(q.Name):
		at.Failf("use lower-case letters, digits and _, starting with a letter", "cannot be a name")
	case taken[q.Name]:
		at.Failf("choose another", "is taken")
	}
	taken[q.Name] = true
	q.Every = size(f.Need("every", "write one of day, week, month, year"))
	l.text(f.Need("sql", "name the file with the SQL"), &q)
	inputs := f.Need("inputs", "write inputs: {rows: {}}")
	members := inputs.Members()
	if inputs.Mapping() && len(members.Names()) == 0 {
		inputs.Fail("it has no input", "write inputs: {rows: {}}")
	}
	for _, name := range members.Names() {
		input := members.Get(name)
		if !tables[name] {
			input.Fail("there is no such table", "name rows or an aggregate of this file")
		}
		back := document.Node{}
		if !input.Null() {
			back = input.Fields("back").Get("back")
		}
		q.Inputs = append(q.Inputs, dataset.Input{Table: name, Back: back.Duration()})
	}
	return q
}

// partRows is how many rows a part has at most if nothing is said: with 100 bytes a row, compressed, half of what a driver of Spark takes.
const partRows = 5_000_000

// order reads in which order the rows come, and in which parts.
func order(f document.Fields, q *dataset.Query) {
	q.OrderBy = f.Get("order_by").Texts()
	by, rows := f.Get("part_by"), f.Get("part_rows")
	q.PartBy = by.Text()
	if by.Given() {
		q.PartRows = partRows
	} else if rows.Given() {
		rows.Fail("no part_by says what parts are made by", "add part_by, or leave it out")
	}
	if n, ok := rows.Whole(1, math.MaxInt64); ok && by.Given() {
		q.PartRows = n
	}
	switch {
	case q.PartBy == "":
		if by.Text() == "" && by.Given() {
			by.Fail("it names no column", "write the first column of order_by")
		}
	case len(q.OrderBy) == 0:
		by.Fail("the rows have no order, and parts are made by its first column", "add order_by: ["+q.PartBy+"]")
	case q.PartBy != q.OrderBy[0]:
		by.Failf("write "+q.OrderBy[0]+", the first column of order_by", "is not what the rows are ordered by first")
	}
}

// text reads the SQL of a query and checks what can be checked without an engine.
func (l *loader) text(n document.Node, q *dataset.Query) {
	name := n.Text()
	if name == "" {
		return
	}
	if q.File = path.Clean(name); !filepath.IsLocal(name) || path.IsAbs(name) {
		n.Failf("name a file within the dataset's folder", "lies outside the dataset's folder")
		return
	}
	if !l.Has(q.File) {
		n.Failf("add the file, or correct the name", "does not exist")
		return
	}
	if text, ok := l.Read(q.File); ok {
		q.SQL = string(text)
		sql.Check(&l.Mistakes, l.File(q.File), q.SQL)
	}
}

// cycles refuses aggregates that wait for each other.
func (l *loader) cycles(items []document.Node) {
	inputs := map[string][]string{}
	for _, q := range l.d.Aggregates {
		for _, in := range q.Inputs {
			inputs[q.Name] = append(inputs[q.Name], in.Table)
		}
	}
	for i, q := range l.d.Aggregates {
		if slices.ContainsFunc(l.d.Aggregates[:i], func(other dataset.Query) bool { return other.Name == q.Name }) {
			continue // said above
		}
		if way := cycle(inputs, q.Name, []string{q.Name}, map[string]bool{}); way != nil && q.Name != "rows" {
			items[i].Fail(fmt.Sprintf("it waits for itself (%s)", strings.Join(way, " <- ")), "remove one of these inputs")
		}
	}
}

func cycle(inputs map[string][]string, goal string, way []string, seen map[string]bool) []string {
	for _, next := range inputs[way[len(way)-1]] {
		if next == goal {
			return append(way, next)
		}
		if seen[next] {
			continue
		}
		seen[next] = true
		if found := cycle(inputs, goal, append(way, next), seen); found != nil {
			return found
		}
	}
	return nil
}
