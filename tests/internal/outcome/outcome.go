// Package outcome reads what a run has made, and compares it with what another run made and with the source.
package outcome

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/almanac-data/almanac/tests/internal/box"
	"github.com/almanac-data/almanac/tests/internal/reader"
)

// Outcome is all that a finished run leaves, as far as it must not depend on crashes, nor on the servers that it ran over.
type Outcome struct {
	Releases map[string]reader.Release
	Tables   map[string]reader.Bag // dataset/table: all rows with all columns
	Status   []box.Dataset
	Letters  []box.Letter
	Late     bool // a dead letter of an event that a retry could have helped is no fault: servers were away for long, and its work was announced again

	live map[string]bool // data files of the tables
}

// Examine asks the command for the status, and reads the warehouse.
func Examine(ctx context.Context, b box.Box, warehouse string) (*Outcome, error) {
	o := &Outcome{Tables: map[string]reader.Bag{}, live: map[string]bool{}}
	var err error
	if o.Status, err = b.Status(ctx); err != nil {
		return nil, err
	}
	if o.Letters, err = b.DeadLetters(ctx); err != nil {
		return nil, err
	}
	if o.Releases, err = reader.Releases(warehouse); err != nil {
		return nil, err
	}
	for _, d := range o.Status {
		tables, err := reader.Tables(warehouse, d.Dataset)
		if err != nil {
			return nil, err
		}
		for name, t := range tables {
			for _, f := range t.Files {
				o.live[f.Path] = true
			}
			if o.Tables[d.Dataset+"/"+name], err = t.Rows(); err != nil {
				return nil, err
			}
		}
	}
	return o, nil
}

// Differences says in what an outcome differs from that of the undisturbed run.
func (o *Outcome) Differences(want *Outcome) []string {
	var all []string
	for _, version := range Union(o.Releases, want.Releases) {
		got, ok := o.Releases[version]
		wanted, expected := want.Releases[version]
		switch {
		case !ok || !expected:
			all = append(all, fmt.Sprintf("release %s: published %t, want %t", version, ok, expected))
		case got.Content != wanted.Content:
			all = append(all, fmt.Sprintf("release %s: content of the manifest is %s, want %s", version, got.Content, wanted.Content))
		case !maps.Equal(got.Files, wanted.Files):
			all = append(all, fmt.Sprintf("release %s: files are %v, want %v", version, got.Files, wanted.Files))
		}
	}
	for _, name := range Union(o.Tables, want.Tables) {
		if diff := o.Tables[name].Diff(want.Tables[name]); diff != "" {
			all = append(all, "table "+name+": "+diff)
		}
	}
	return all
}

// Union lists the keys of both maps, sorted.
func Union[V any](a, b map[string]V) []string {
	names := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(names)
	return slices.Compact(names)
}

// Faults says what must not be so whatever happened: a window that is not done, a sheet that does not balance, work done twice, dead letters.
func (o *Outcome) Faults() []string {
	var all []string
	for _, d := range o.Status {
		var stored int64
		for _, w := range d.Windows {
			final := map[string]string{"collect": "stored", "aggregate": "aggregated", "deliver": "released"}[w.Step]
			if w.Phase != final {
				all = append(all, fmt.Sprintf("%s: %s %s %s is %s: %s", d.Dataset, w.Step, w.Name, w.Window, w.Phase, w.Why))
			}
			if w.Step == "collect" && (w.Generation != 1 || w.Visible != 1) {
				all = append(all, fmt.Sprintf("%s %s: generation %d, visible %d, want 1: work was done twice", d.Dataset, w.Window, w.Generation, w.Visible))
			}
			if w.Step == "deliver" && !strings.HasSuffix(w.Version, ".1") {
				all = append(all, fmt.Sprintf("%s %s: version %q, want revision 1: it was released twice", d.Dataset, w.Window, w.Version))
			}
			for day, c := range w.Sheet {
				if !c.Balanced() {
					all = append(all, fmt.Sprintf("%s %s: the sheet of %s does not balance: %+v", d.Dataset, w.Window, day, c))
				}
			}
			stored += w.Total().Stored
		}
		if rows := o.Tables[d.Dataset+"/rows"].Len(); int64(rows) != stored {
			all = append(all, fmt.Sprintf("%s: the table has %d rows, the sheets say %d", d.Dataset, rows, stored))
		}
	}
	for _, l := range o.Letters {
		if o.Late && !strings.HasPrefix(l.Attributes["knativeerrorcode"], "4") {
			continue
		}
		all = append(all, fmt.Sprintf("dead letter %s: %v", l.ID, l.Attributes))
	}
	return all
}

// Against compares stored and refused rows with the files that they came from, as read by encoding/csv.
func Against(warehouse, dataset string, source *reader.Source) []string {
	var all []string
	compare := func(name string, columns []string, want reader.Bag) {
		t, err := reader.Open(filepath.Join(warehouse, dataset, name))
		if err != nil && (want.Len() > 0 || name == "rows") {
			all = append(all, err.Error())
			return
		}
		if err != nil {
			return // nothing was refused, so there may be no table
		}
		rows, err := t.Rows(columns...)
		if err != nil {
			all = append(all, err.Error())
			return
		}
		if diff := rows.Diff(want); diff != "" {
			all = append(all, fmt.Sprintf("%s of %s and its source: %s", name, dataset, diff))
		}
	}
	compare("rows", source.Columns, source.Rows)
	compare("quarantine", []string{"original"}, source.Refused)
	return all
}

// Leftover sorts the files of a warehouse that nothing names: temporary ones, and files named by their digest that no table claims.
func (o *Outcome) Leftover(warehouse string) (temporary, unclaimed []string, err error) {
	files, err := reader.Listing(warehouse)
	for name := range files {
		switch {
		case strings.Contains(name, ".tmp-"):
			temporary = append(temporary, name)
		case strings.Contains(name, "/data/") && !strings.HasPrefix(name, "releases/") && !o.live[filepath.Join(warehouse, name)]:
			unclaimed = append(unclaimed, name)
		}
	}
	slices.Sort(temporary)
	slices.Sort(unclaimed)
	return temporary, unclaimed, err
}
