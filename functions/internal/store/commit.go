package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sort"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

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
	if stopped, ok := facts.Get[events.Stopped](view, piece); ok && stopped.Definition == d.Definition && stopped.Inputs == events.GenerationDigest(slices) {
		return nil
	}
	whole, err := s.settle(ctx, d, w, slices)
	if err != nil {
		return fmt.Errorf("decide %s: %w", piece.Key(), s.mend(ctx, slices, err))
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
		return fmt.Errorf("commit %s: %w", piece.Key(), s.mend(ctx, slices, err))
	}
	return s.Journal.Say(ctx, stored)
}

// mend takes back the staged facts of files that are not in the warehouse any more, so that their slices are staged again.
func (s *Store) mend(ctx context.Context, all []events.Staged, cause error) error {
	if !errors.Is(cause, fs.ErrNotExist) {
		return cause
	}
	for _, staged := range all {
		if err := s.there(ctx, staged); errors.Is(err, fs.ErrNotExist) {
			cause = errors.Join(cause, s.Journal.Retract(ctx, staged))
		}
	}
	return cause
}

// there returns an error that wraps fs.ErrNotExist if a file of a slice is missing.
func (s *Store) there(ctx context.Context, staged events.Staged) error {
	for _, f := range slices.Concat([]events.File{staged.Raw}, staged.Rows, staged.Quarantine, staged.Keys) {
		in, err := s.Opener.Open(ctx, f.Path)
		if err == nil {
			err = in.Close()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// linked returns the facts of one slice that store works from, if each was made from the one before it by the present definition.
func linked(view *facts.View, d *dataset.Dataset, at events.Piece) (collected events.Collected, validated events.Validated, ok bool) {
	collected, ok1 := facts.Get[events.Collected](view, at)
	processed, ok2 := facts.Get[events.Processed](view, at)
	validated, ok3 := facts.Get[events.Validated](view, at)
	ok = ok1 && ok2 && ok3 && processed.Inputs == collected.Digest() && validated.Inputs == processed.Digest() &&
		processed.Definition == d.Definition && validated.Definition == d.Definition
	return collected, validated, ok
}

// chain returns the staged slices 1 to last of a generation, if each was made from what it says and follows the one before.
func chain(view *facts.View, d *dataset.Dataset, piece events.Piece) (slices []events.Staged, pin events.Pin, ok bool) {
	var prev events.Collected
	for !prev.Last {
		at := piece.At(prev.Slice + 1)
		collected, validated, ok := linked(view, d, at)
		staged, found := facts.Get[events.Staged](view, at)
		if !ok || !found || !collected.Follows(prev) ||
			staged.Inputs != validated.Digest() || staged.Definition != d.Definition || staged.Last != collected.Last {
			return nil, pin, false
		}
		slices = append(slices, staged)
		prev = collected
	}
	return slices, prev.Pin, true
}

func (s *Store) stop(ctx context.Context, d *dataset.Dataset, piece events.Piece, whole settled) error {
	broken := make([]string, len(whole.stop))
	for i, b := range whole.stop {
		broken[i] = b.detail
	}
	before := ""
	if piece.Generation > 1 {
		before = "; what an earlier one has stored stays"
	}
	detail := strings.Join(broken, "; ") + fmt.Sprintf(". Nothing of generation %d of this window is visible%s. Look at its refused rows with `almanac quarantine show %s %s`, "+
		"then mend the source or the contract; the window is collected again by itself.", piece.Generation, before, d.Name, piece.Window)
	return s.Journal.Say(ctx, events.Stopped{
		Piece: piece, Step: "store", Definition: d.Definition, Inputs: whole.digest, Reason: whole.stop[0].reason, Detail: detail,
	})
}

// publish commits the quarantine, then the rows. Each commit is looked up in the table's map before it is tried, so that a second
// try, or a second instance, changes nothing. What is visible in the rows table first is what the generation is: if another try
// made it of another definition, that is what is said, and the calendar makes the next generation due.
func (s *Store) publish(ctx context.Context, d *dataset.Dataset, w window.Window, piece events.Piece, entry events.Entry, whole settled) (events.Stored, error) {
	rows := target{table.Name{Dataset: d.Name, Table: table.Rows}, RowsSchema(d), whole.rows, func(now events.Entry) bool {
		return now.Generation >= entry.Generation
	}}
	refused := target{table.Name{Dataset: d.Name, Table: table.Quarantine}, QuarantineSchema(), whole.quarantine, func(now events.Entry) bool {
		return now.Generation > entry.Generation || now.Generation == entry.Generation && now.Digest == entry.Digest
	}}
	stored := events.Stored{Piece: piece}
	head, now, err := s.head(ctx, rows.name, w)
	if err == nil && rows.done(now) {
		stored.Entry, stored.Generation, stored.Snapshot = now, now.Generation, head.Snapshot
		return stored, nil
	}
	if err != nil {
		return stored, err
	}
	if _, _, err = s.replace(ctx, refused, w, entry); err != nil {
		return stored, err
	}
	if stored.Entry, stored.Snapshot, err = s.replace(ctx, rows, w, entry); err != nil {
		return stored, err
	}
	stored.Generation = stored.Entry.Generation
	if stored.Entry.Generation == entry.Generation && stored.Entry.Digest == entry.Digest {
		// A slower try of another definition may have put its own quarantine there in between.
		_, _, err = s.replace(ctx, refused, w, entry)
	}
	return stored, err
}

// target is what one table is to hold of a window, unless done says of its present entry that nothing is to do.
type target struct {
	name   table.Name
	schema *arrow.Schema
	files  []events.File
	done   func(now events.Entry) bool
}

// head reads the entry that a table has of a window, if any.
func (s *Store) head(ctx context.Context, name table.Name, w window.Window) (table.Head, events.Entry, error) {
	var now events.Entry
	head, err := s.Tables.Head(ctx, name)
	if err != nil {
		return head, now, err
	}
	if raw, ok := head.Entries[w.Key()]; ok {
		if err := json.Unmarshal(raw, &now); err != nil {
			return head, now, fmt.Errorf("read the map of %s: window %s: %w", name, w, err)
		}
	}
	return head, now, nil
}

// replace commits one window of one table and returns the entry that the table then holds.
func (s *Store) replace(ctx context.Context, t target, w window.Window, entry events.Entry) (events.Entry, int64, error) {
	for {
		head, now, err := s.head(ctx, t.name, w)
		if err != nil || t.done(now) {
			return now, head.Snapshot, err
		}
		before := head.Entries[w.Key()]
		if before == nil && len(t.files) == 0 && t.name.Table == table.Quarantine {
			return entry, head.Snapshot, nil // nothing was ever refused in this window: no commit is owed
		}
		entry.Changed = changedDays(now.Sheet, entry.Sheet)
		data, err := json.Marshal(entry)
		if err != nil {
			return entry, 0, err
		}
		sheet, err := json.Marshal(entry.Sheet)
		if err != nil {
			return entry, 0, err
		}
		snapshot, _, err := s.Tables.Replace(ctx, table.Replace{
			Table: t.name, Schema: t.schema, Window: w, Files: t.files, Entry: data,
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
