// Package commit makes generations visible in the tables, each of them whole and once.
package commit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/store/layout"
	"github.com/almanac-data/almanac/functions/internal/table"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// Tables commits windows.
type Tables interface {
	Head(ctx context.Context, name table.Name) (table.Head, error)
	Replace(ctx context.Context, r table.Replace) (snapshot int64, err error)
}

// Generation is one that is ready to be committed.
type Generation struct {
	Piece      events.Piece
	Window     window.Window
	Entry      events.Entry
	Rows       []events.File
	Quarantine []events.File
	Slices     []events.Staged // that it is made of
}

// All commits the quarantine, then the rows, of generations of different windows. Each window is looked up in the table's map before
// it is committed, so that a second try, or a second instance, changes nothing. What is visible in the rows table first is what the
// generation is: if another try made it of another definition, that is what is said, and the calendar makes the next generation due.
func All(ctx context.Context, tables Tables, d *dataset.Dataset, all []*Generation) ([]events.Stored, error) {
	rows := target{
		table.Name{Dataset: d.Name, Table: table.Rows}, layout.Rows(d), func(g *Generation) []events.File { return g.Rows },
		func(g *Generation, now events.Entry) bool { return now.Generation >= g.Entry.Generation },
	}
	refused := target{
		table.Name{Dataset: d.Name, Table: table.Quarantine}, layout.Quarantine(), func(g *Generation) []events.File { return g.Quarantine },
		func(g *Generation, now events.Entry) bool {
			return now.Generation > g.Entry.Generation || now.Generation == g.Entry.Generation && now.Digest == g.Entry.Digest
		},
	}
	head, err := tables.Head(ctx, rows.name)
	if err != nil {
		return nil, err
	}
	var stored []events.Stored
	var todo []*Generation
	for _, g := range all {
		now, _, err := entryOf(head, rows.name, g.Window)
		switch {
		case err != nil:
			return nil, err
		case rows.done(g, now):
			stored = append(stored, storedFact(g, now, head.Snapshot))
		default:
			todo = append(todo, g)
		}
	}
	if _, _, err = replace(ctx, tables, refused, todo); err != nil {
		return nil, err
	}
	now, snapshot, err := replace(ctx, tables, rows, todo)
	if err != nil {
		return nil, err
	}
	var own []*Generation
	for i, g := range todo {
		stored = append(stored, storedFact(g, now[i], snapshot))
		if now[i].Generation == g.Entry.Generation && now[i].Digest == g.Entry.Digest {
			own = append(own, g)
		}
	}
	// A slower try of another definition may have put its own quarantine there in between.
	_, _, err = replace(ctx, tables, refused, own)
	return stored, err
}

// storedFact says what the rows table holds of a window.
func storedFact(g *Generation, now events.Entry, snapshot int64) events.Stored {
	stored := events.Stored{Piece: g.Piece, Entry: now, Snapshot: snapshot}
	stored.Generation = now.Generation
	return stored
}

// target is what one table is to hold of generations, but of those of which done says by the window's present entry that nothing is to do.
type target struct {
	name   table.Name
	schema *arrow.Schema
	files  func(*Generation) []events.File
	done   func(g *Generation, now events.Entry) bool
}

// entryOf reads the entry that a table has of a window, if any.
func entryOf(head table.Head, name table.Name, w window.Window) (now events.Entry, raw json.RawMessage, err error) {
	raw, ok := head.Entries[w.Key()]
	if !ok {
		return now, nil, nil
	}
	if err := json.Unmarshal(raw, &now); err != nil {
		return now, nil, fmt.Errorf("read the map of %s: window %s: %w", name, w, err)
	}
	return now, raw, nil
}

// replace commits generations to one table, all at once, and returns the entry that the table then holds of each.
func replace(ctx context.Context, tables Tables, t target, all []*Generation) ([]events.Entry, int64, error) {
	for len(all) > 0 {
		head, err := tables.Head(ctx, t.name)
		if err != nil {
			return nil, 0, err
		}
		r, now, err := t.replacement(head, all)
		if err != nil || len(r.Windows) == 0 {
			return now, head.Snapshot, err
		}
		snapshot, err := tables.Replace(ctx, r)
		if errors.Is(err, table.ErrMoved) && ctx.Err() == nil {
			continue
		}
		return now, snapshot, err
	}
	return nil, 0, nil
}

// replacement is what a table lacks of generations, and the entries that it has of them afterwards.
func (t target) replacement(head table.Head, all []*Generation) (r table.Replace, now []events.Entry, err error) {
	r = table.Replace{Table: t.name, Schema: t.schema}
	now = make([]events.Entry, len(all))
	sheets, digests := map[string]events.Sheet{}, []string{}
	for i, g := range all {
		present, before, err := entryOf(head, t.name, g.Window)
		if err != nil {
			return r, nil, err
		}
		if t.done(g, present) {
			now[i] = present
			continue
		}
		now[i] = g.Entry
		files := t.files(g)
		if before == nil && len(files) == 0 && t.name.Table == table.Quarantine {
			continue // nothing was ever refused in this window: no commit is owed
		}
		now[i].Changed = changedDays(present.Sheet, g.Entry.Sheet)
		data, err := json.Marshal(now[i])
		if err != nil {
			return r, nil, err
		}
		sheets[g.Window.Key()], digests = g.Entry.Sheet, append(digests, g.Entry.Digest)
		r.Windows = append(r.Windows, table.Content{Window: g.Window, Files: files, Entry: data, Done: func(now json.RawMessage) (bool, error) {
			if !bytes.Equal(now, before) {
				return false, table.ErrMoved
			}
			return false, nil
		}})
	}
	text, err := json.Marshal(sheets)
	r.Summary = map[string]string{"almanac.sheet": string(text), "almanac.digest": strings.Join(digests, ",")}
	return r, now, err
}

// changedDays lists the event days whose stored rows differ between two generations.
func changedDays(before, after events.Sheet) []string {
	var days []string
	for day, a := range after {
		if b := before[day]; b.Stored != a.Stored || b.Hash != a.Hash {
			days = append(days, day)
		}
	}
	for day, b := range before {
		if _, ok := after[day]; !ok && b.Stored > 0 {
			days = append(days, day)
		}
	}
	sort.Strings(days)
	return days
}
