// Package restored judges the files of a backup without any server: whether each is there to its last byte, whether tables and releases are whole, and whether
// what facts say is done is in them.
package restored

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/deliver/release"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/hdfs/mirror"
	"github.com/almanac-data/almanac/functions/internal/kafka/dump"
	"github.com/almanac-data/almanac/functions/internal/kafka/letters"
	"github.com/almanac-data/almanac/functions/internal/lake"
	"github.com/almanac-data/almanac/functions/internal/lake/fsys"
	"github.com/almanac-data/almanac/functions/internal/table"
)

// Report is what was found. Without problems a restore of it loses nothing that the facts say is done.
type Report struct {
	Files    int       `json:"files"`
	Bytes    int64     `json:"bytes"`
	Facts    int       `json:"facts"`
	Newest   time.Time `json:"newest"` // when the last fact was said
	Tables   int       `json:"tables"`
	Windows  int       `json:"windows"` // of all tables
	Rows     int64     `json:"rows"`    // of all tables
	Releases int       `json:"releases"`
	Problems []string  `json:"problems"`
}

func (r *Report) problemf(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// Check judges the copy of a warehouse in a folder, its list, and the dump of Kafka of the same backup. The error is for what kept it from looking.
func Check(ctx context.Context, dir, listFile, kafkaFile string) (Report, error) {
	r := Report{Problems: []string{}}
	list, err := mirror.ReadFile(listFile)
	if err != nil {
		return r, err
	}
	r.Files, r.Bytes = list.Totals().Files, list.Totals().Bytes
	if err := mirror.Check(ctx, dir, list); errors.Is(err, mirror.ErrDiffers) {
		r.problemf("%v", err)
		return r, nil // what stands on the files is not looked at
	} else if err != nil {
		return r, err
	}
	view, err := r.facts(kafkaFile)
	if err != nil {
		return r, err
	}
	local, err := fsys.OpenLocal(dir)
	if err != nil {
		return r, err
	}
	w := &warehouse{Report: &r, lake: lake.OpenOn(elsewhere{local, list.URI}), files: map[string]int64{}, heads: map[table.Name]table.Head{}}
	for _, e := range list.Entries {
		if !e.Folder {
			w.files[e.Path] = e.Bytes
		}
	}
	return r, errors.Join(w.tables(ctx), w.releases(ctx), w.told(view))
}

// elsewhere is a local folder whose files are named as if they still lay in the warehouse that they are a copy of.
type elsewhere struct {
	*fsys.Local

	uri string
}

// URI is where the name lay.
func (e elsewhere) URI(name string) string {
	if clean := path.Clean(name); clean != "." {
		return e.uri + "/" + clean
	}
	return e.uri
}

// facts reads the dump.
func (r *Report) facts(name string) (view *facts.View, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	view = facts.NewView()
	_, err = dump.Read(f, dump.Visitor{Record: func(rec dump.Record) error {
		if rec.Topic == letters.Topic {
			return nil
		}
		said := time.UnixMilli(rec.Time).UTC()
		view.Apply(rec.Topic, string(rec.Key), rec.Type(), rec.Value, said)
		r.Facts++
		if said.After(r.Newest) {
			r.Newest = said
		}
		return nil
	}})
	return view, err
}

// warehouse is the copy of one.
type warehouse struct {
	*Report

	lake  *lake.Lake
	files map[string]int64 // bytes by path
	heads map[table.Name]table.Head
}

// folders of a warehouse that are no dataset's.
const (
	releases  = "releases"
	published = "datasets"
)

// tables looks whether each file that the head of a table names is there.
func (w *warehouse) tables(ctx context.Context) error {
	folders, err := w.lake.List(ctx, ".")
	if err != nil {
		return err
	}
	for _, f := range folders {
		if !f.Dir || f.Name == releases || f.Name == published {
			continue
		}
		names, err := w.lake.TablesOf(ctx, f.Name)
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := w.table(ctx, table.Name{Dataset: f.Name, Table: name}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *warehouse) table(ctx context.Context, name table.Name) error {
	head, err := w.lake.Head(ctx, name)
	if err != nil {
		w.problemf("table %s: %v", name, err)
		return ctx.Err()
	}
	w.heads[name] = head
	w.Tables++
	w.Windows += len(head.Entries)
	files, err := w.lake.Files(ctx, name, head.Snapshot, slices.Sorted(maps.Keys(head.Entries)))
	if err != nil {
		w.problemf("table %s: %v", name, err)
		return ctx.Err()
	}
	for _, f := range files {
		if bytes, ok := w.files[f.Path]; !ok || bytes != f.Bytes {
			w.problemf("table %s names %s of %d bytes, which is not there, or has another length", name, f.Path, f.Bytes)
		}
		w.Rows += f.Rows
	}
	return nil
}

// releases verifies each release by its own manifest.
func (w *warehouse) releases(ctx context.Context) error {
	if _, err := w.lake.List(ctx, releases); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	all := w.lake.FS(releases)
	found, err := fs.Glob(all, "*/*/"+release.ManifestFile)
	if err != nil {
		return err
	}
	for _, manifest := range found {
		sub, err := fs.Sub(all, path.Dir(manifest))
		if err != nil {
			return err
		}
		report, err := release.Verify(ctx, sub)
		if err != nil {
			return err
		}
		for _, p := range report.Problems {
			w.problemf("release %s: %s", path.Dir(manifest), p)
		}
		w.Releases++
	}
	return nil
}

// told looks whether what facts say is done is there. A table may be ahead of the facts: that is said again by itself.
func (w *warehouse) told(view *facts.View) error {
	if n := view.Refused(); n > 0 {
		w.problemf("%d records of the dump are no facts", n)
	}
	for _, f := range facts.All[events.Stored](view, "") {
		raw, ok := w.heads[table.Name{Dataset: f.Dataset, Table: table.Rows}].Entries[f.Window]
		var entry events.Entry
		if ok {
			if err := json.Unmarshal(raw, &entry); err != nil {
				return fmt.Errorf("read the map of %s: window %s: %w", f.Dataset, f.Window, err)
			}
		}
		if entry.Generation < f.Generation {
			w.problemf("%s %s is said to be stored as generation %d, and its table has %d: facts are ahead of tables", f.Dataset, f.Window, f.Generation, entry.Generation)
		}
	}
	for _, f := range facts.All[events.Aggregated](view, "") {
		if _, ok := w.heads[table.Name{Dataset: f.Dataset, Table: f.Name}].Entries[f.Window]; !ok {
			w.problemf("%s %s of %s is said to be aggregated, and its table does not have it: facts are ahead of tables", f.Name, f.Window, f.Dataset)
		}
	}
	for _, f := range facts.All[events.Released](view, "") {
		if _, ok := w.files[path.Join(releases, f.Dataset, f.Version, release.ManifestFile)]; !ok {
			w.problemf("%s of %s is said to be released, and is not there: facts are ahead of releases", f.Version, f.Dataset)
		}
	}
	return nil
}
