// Package rights says which function may do what in which folder of the warehouse, where each of them is a user of its own there.
//
// One owns the warehouse who is no function: the operator, who publishes datasets and makes their folders. Spark, which is in the group of its folders, reads
// what queries are asked of, and writes nowhere.
package rights

import (
	"maps"
	"path"
	"slices"

	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/published"
	"github.com/almanac-data/almanac/functions/internal/secret/envelope"
	"github.com/almanac-data/almanac/functions/internal/table"
)

// Functions have something to do in the warehouse.
var Functions = []string{"aggregate", "calendar", "collect", "deliver", "process", "serve", "store", "validate"}

// Folder is a folder of the warehouse, with the functions that may do something there, each once and by what it may at most.
type Folder struct {
	Path  string
	Pass  []string // may go to what lies in it, and no more
	Read  []string // may read what is in it, and what will be
	Write []string // may also make, replace and delete there

	Closed bool // the group may do nothing in it: it has rows as they came, or none that a query is asked of
}

// Of lists the folders of the warehouse itself and of datasets, each after the one that it lies in.
func Of(datasets ...*dataset.Dataset) []Folder {
	all := []Folder{
		// The calendar sweeps away what writers left that died, wherever that is, and for it may replace the tables' metadata.
		{Path: ".", Write: []string{"calendar"}},
		{Path: published.Root, Read: slices.DeleteFunc(slices.Clone(Functions), func(f string) bool { return f == "calendar" })},
		{Path: "releases", Read: []string{"serve"}},
	}
	for _, d := range datasets {
		all = append(all, Folder{Path: d.Name},
			Folder{Path: d.Name + "/raw", Write: []string{"store"}, Read: []string{"collect"}, Closed: true}, // a later generation may be read from the archive
			Folder{Path: envelope.Folder(d.Name), Write: []string{"collect"}, Read: []string{"process"}, Closed: true},
			Folder{Path: d.Name + "/staging", Write: []string{"store"}, Closed: true},
			Folder{Path: d.Name + "/" + table.Rows, Write: []string{"store"}, Read: []string{"aggregate", "deliver"}},
			Folder{Path: d.Name + "/" + table.Quarantine, Write: []string{"store"}, Closed: true},
		)
		for _, a := range d.Aggregates {
			all = append(all, Folder{Path: d.Name + "/" + a.Name, Write: []string{"aggregate"}, Read: []string{"deliver"}})
		}
		if len(d.Releases) > 0 {
			all = append(all, Folder{Path: "releases/" + d.Name, Write: []string{"deliver"}})
		}
	}
	pass(all)
	return all
}

// pass lets functions go to where they may do something. Nobody may pass what nobody may use.
func pass(all []Folder) {
	for i := range all {
		through := map[string]bool{}
		if all[i].Path == "." { // who starts looks at the warehouse, whatever lies in it
			for _, f := range Functions {
				through[f] = true
			}
		}
		for _, below := range all {
			if path.Dir(below.Path) != all[i].Path || below.Path == "." {
				continue
			}
			for _, f := range slices.Concat(below.Read, below.Write) {
				through[f] = true
			}
		}
		for _, f := range slices.Concat(all[i].Read, all[i].Write) {
			delete(through, f)
		}
		if all[i].Path != "." {
			delete(through, "calendar") // what it may at the root it may everywhere
		}
		all[i].Pass = slices.Sorted(maps.Keys(through))
	}
}
