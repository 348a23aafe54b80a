package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/table"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// commit makes a generation visible, once all of its slices are staged and its rules hold.
func (s *Store) commit(ctx context.Context, d *dataset.Dataset, w window.Window, piece events.Piece) error {
	view, err := s.Journal.View(ctx)
	if err != nil {
		return err
	}
	slices, pin, ok := chain(view, d, piece)
	if !ok {
		return nil
	}
	if stopped, ok := facts.Get[events.Stopped](view, piece); ok && stopped.Definition == d.Definition && stopped.Inputs == digest(slices) {
		return nil
	}
	whole, err := s.settle(ctx, d, w, slices)
	if err != nil {
		return fmt.Errorf("decide %s: %w", piece.Key(), err)
	}
	if len(whole.stop) > 0 {
		return s.stop(ctx, d, piece, whole)
	}
	entry := events.Entry{
		Generation: piece.Generation, Definition: d.Definition, Digest: whole.digest, Slices: len(slices), Pin: pin,
		Sheet: whole.sheet, Reasons: whole.reasons,
	}
	if c, ok := facts.Get[events.Collected](view, piece.At(1)); ok {
		entry.Reason = c.Reason
	}
	stored, err := s.publish(ctx, d, w, piece, entry, whole)
	if err != nil {
		return fmt.Errorf("commit %s: %w", piece.Key(), err)
	}
	return s.Journal.Say(ctx, stored)
}

// chain returns the staged slices 1 to last of a generation, if each fact was made from the one before it by the present definition.
func chain(view *facts.View, d *dataset.Dataset, piece events.Piece) (slices []events.Staged, pin events.Pin, ok bool) {
	inputs := ""
	for n := 1; ; n++ {
		at := piece.At(n)
		collected, ok1 := facts.Get[events.Collected](view, at)
		processed, ok2 := facts.Get[events.Processed](view, at)
		validated, ok3 := facts.Get[events.Validated](view, at)
		staged, ok4 := facts.Get[events.Staged](view, at)
		if !ok1 || !ok2 || !ok3 || !ok4 {
			return nil, pin, false
		}
		if n == 1 {
			pin = collected.Pin
			inputs = pin.Content()
		}
		linked := collected.Inputs == inputs && collected.Pin.Content() == pin.Content() &&
			processed.Inputs == collected.Digest() && validated.Inputs == processed.Digest() && staged.Inputs == validated.Digest() &&
			processed.Definition == d.Definition && validated.Definition == d.Definition && staged.Definition == d.Definition &&
			staged.Last == collected.Last
		if !linked {
			return nil, pin, false
		}
		slices = append(slices, staged)
		if collected.Last {
			return slices, pin, true
		}
		inputs = collected.Digest()
	}
}

func digest(slices []events.Staged) string {
	parts := make([]string, len(slices))
	for i, s := range slices {
		parts[i] = s.Digest()
	}
	return events.Digest(parts...)
}

func (s *Store) stop(ctx context.Context, d *dataset.Dataset, piece events.Piece, whole settled) error {
	detail := ""
	for i, b := range whole.stop {
		if i > 0 {
			detail += "; "
		}
		detail += b.detail
	}
	detail += ". Nothing of this window is visible. Look at its refused rows with `almanac quarantine show " + d.Name + " " + piece.Window +
		"`, then mend the source or the contract; the window is collected again by itself."
	return s.Journal.Say(ctx, events.Stopped{
		Piece: piece, Step: "store", Definition: d.Definition, Inputs: whole.digest, Reason: whole.stop[0].reason, Detail: detail,
	})
}

// publish commits the quarantine, then the rows. Each commit is looked up in the table's map before it is tried, so that a second
// try, or a second instance, changes nothing.
func (s *Store) publish(ctx context.Context, d *dataset.Dataset, w window.Window, piece events.Piece, entry events.Entry, whole settled) (events.Stored, error) {
	stored := events.Stored{Piece: piece}
	if _, _, err := s.replace(ctx, d, w, table.Quarantine, entry, whole.quarantine); err != nil {
		return stored, err
	}
	var err error
	stored.Entry, stored.Snapshot, err = s.replace(ctx, d, w, table.Rows, entry, whole.rows)
	stored.Generation = stored.Entry.Generation
	return stored, err
}

// replace commits one window of one table and returns the entry that the table then holds.
func (s *Store) replace(ctx context.Context, d *dataset.Dataset, w window.Window, tab string, entry events.Entry, files []events.File) (events.Entry, int64, error) {
	name := table.Name{Dataset: d.Name, Table: tab}
	schema := RowsSchema(d)
	if tab == table.Quarantine {
		schema = QuarantineSchema()
	}
	for {
		head, err := s.Tables.Head(ctx, name)
		if err != nil {
			return entry, 0, err
		}
		before := head.Entries[w.Key()]
		if tab == table.Quarantine && before == nil && len(files) == 0 {
			return entry, head.Snapshot, nil // nothing was ever refused in this window
		}
		present, done, err := already(before, entry)
		if err != nil || done {
			return present, head.Snapshot, err
		}
		entry.Changed = changedDays(present.Sheet, entry.Sheet)
		data, err := json.Marshal(entry)
		if err != nil {
			return entry, 0, err
		}
		sheet, err := json.Marshal(entry.Sheet)
		if err != nil {
			return entry, 0, err
		}
		snapshot, _, err := s.Tables.Replace(ctx, table.Replace{
			Table: name, Schema: schema, Window: w, Files: files, Entry: data,
			Summary: map[string]string{"almanac.sheet": string(sheet), "almanac.digest": entry.Digest},
			Done: func(now json.RawMessage) (bool, error) {
				if !bytes.Equal(now, before) {
					return false, table.ErrMoved
				}
				return false, nil
			},
		})
		if errors.Is(err, table.ErrMoved) && ctx.Err() == nil {
			continue
		}
		return entry, snapshot, err
	}
}

// already says whether the table's present entry makes a commit needless: it is the same work, or a later generation.
func already(present json.RawMessage, entry events.Entry) (events.Entry, bool, error) {
	var now events.Entry
	if present == nil {
		return now, false, nil
	}
	if err := json.Unmarshal(present, &now); err != nil {
		return now, false, fmt.Errorf("read the map of windows: %w", err)
	}
	if now.Generation == entry.Generation && now.Digest != entry.Digest {
		return now, false, fmt.Errorf("generation %d is in the table with digest %s, but this work has %s: two different contents for one generation",
			entry.Generation, now.Digest, entry.Digest)
	}
	return now, now.Generation >= entry.Generation, nil
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
