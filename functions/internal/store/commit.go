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
	"github.com/almanac-data/almanac/functions/internal/store/layout"
	"github.com/almanac-data/almanac/functions/internal/table"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// generation is one that is ready to be committed.
type generation struct {
	piece events.Piece
	w     window.Window
	entry events.Entry
	whole settled
	parts []events.Staged
}

// decide settles a generation once all of its slices are staged. It returns nil where nothing is to commit: slices are missing, or the
// window stops here.
func (s *Store) decide(ctx context.Context, view *facts.View, d *dataset.Dataset, w window.Window, piece events.Piece) (*generation, error) {
	parts, pin, ok := chain(view, d, piece)
	if !ok {
		return nil, nil
	}
	if stopped, ok := facts.Get[events.Stopped](view, piece); ok && stopped.Definition == d.Definition && stopped.Inputs == events.GenerationDigest(parts) {
		return nil, nil
	}
	whole, err := s.settle(ctx, d, w, parts)
	if err != nil {
		return nil, fmt.Errorf("decide %s: %w", piece.Key(), s.mend(ctx, parts, err))
	}
	if len(whole.stop) > 0 {
		return nil, s.stop(ctx, d, piece, whole)
	}
	if err := s.join(ctx, d, w, &whole); err != nil {
		return nil, fmt.Errorf("decide %s: %w", piece.Key(), s.mend(ctx, parts, err))
	}
	g := &generation{piece: piece, w: w, whole: whole, parts: parts, entry: events.Entry{
		Generation: piece.Generation, Definition: d.Definition, Digest: whole.digest, Slices: len(parts), Pin: pin,
		Sheet: whole.sheet, Reasons: whole.reasons,
	}}
	if c, ok := facts.Get[events.Collected](view, piece.At(1)); ok {
		g.entry.Reason = c.Reason
	}
	return g, nil
}

// join makes the files of a window large: each slice has written its own.
func (s *Store) join(ctx context.Context, d *dataset.Dataset, w window.Window, whole *settled) (err error) {
	if whole.rows, err = s.Joiner.Join(ctx, layout.Data(d.Name, table.Rows, w), whole.rows); err != nil {
		return fmt.Errorf("join rows: %w", err)
	}
	if whole.quarantine, err = s.Joiner.Join(ctx, layout.Data(d.Name, table.Quarantine, w), whole.quarantine); err != nil {
		return fmt.Errorf("join quarantine: %w", err)
	}
	return nil
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

// publish commits the quarantine, then the rows, of generations of different windows. Each window is looked up in the table's map before
// it is committed, so that a second try, or a second instance, changes nothing. What is visible in the rows table first is what the
// generation is: if another try made it of another definition, that is what is said, and the calendar makes the next generation due.
func (s *Store) publish(ctx context.Context, d *dataset.Dataset, all []*generation) ([]events.Stored, error) {
	rows := target{
		table.Name{Dataset: d.Name, Table: table.Rows}, layout.Rows(d), func(g *generation) []events.File { return g.whole.rows },
		func(g *generation, now events.Entry) bool { return now.Generation >= g.entry.Generation },
	}
	refused := target{
		table.Name{Dataset: d.Name, Table: table.Quarantine}, layout.Quarantine(), func(g *generation) []events.File { return g.whole.quarantine },
		func(g *generation, now events.Entry) bool {
			return now.Generation > g.entry.Generation || now.Generation == g.entry.Generation && now.Digest == g.entry.Digest
		},
	}
	head, err := s.Tables.Head(ctx, rows.name)
	if err != nil {
		return nil, err
	}
	var stored []events.Stored
	var todo []*generation
	for _, g := range all {
		now, _, err := entryOf(head, rows.name, g.w)
		switch {
		case err != nil:
			return nil, err
		case rows.done(g, now):
			stored = append(stored, storedFact(g, now, head.Snapshot))
		default:
			todo = append(todo, g)
		}
	}
	if _, _, err = s.replace(ctx, refused, todo); err != nil {
		return nil, err
	}
	now, snapshot, err := s.replace(ctx, rows, todo)
	if err != nil {
		return nil, err
	}
	var own []*generation
	for i, g := range todo {
		stored = append(stored, storedFact(g, now[i], snapshot))
		if now[i].Generation == g.entry.Generation && now[i].Digest == g.entry.Digest {
			own = append(own, g)
		}
	}
	// A slower try of another definition may have put its own quarantine there in between.
	_, _, err = s.replace(ctx, refused, own)
	return stored, err
}

// storedFact says what the rows table holds of a window.
func storedFact(g *generation, now events.Entry, snapshot int64) events.Stored {
	stored := events.Stored{Piece: g.piece, Entry: now, Snapshot: snapshot}
	stored.Generation = now.Generation
	return stored
}

// target is what one table is to hold of generations, but of those of which done says by the window's present entry that nothing is to do.
type target struct {
	name   table.Name
	schema *arrow.Schema
	files  func(*generation) []events.File
	done   func(g *generation, now events.Entry) bool
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
func (s *Store) replace(ctx context.Context, t target, all []*generation) ([]events.Entry, int64, error) {
	for len(all) > 0 {
		head, err := s.Tables.Head(ctx, t.name)
		if err != nil {
			return nil, 0, err
		}
		r, now, err := t.replacement(head, all)
		if err != nil || len(r.Windows) == 0 {
			return now, head.Snapshot, err
		}
		snapshot, err := s.Tables.Replace(ctx, r)
		if errors.Is(err, table.ErrMoved) && ctx.Err() == nil {
			continue
		}
		return now, snapshot, err
	}
	return nil, 0, nil
}

// replacement is what a table lacks of generations, and the entries that it has of them afterwards.
func (t target) replacement(head table.Head, all []*generation) (r table.Replace, now []events.Entry, err error) {
	r = table.Replace{Table: t.name, Schema: t.schema}
	now = make([]events.Entry, len(all))
	sheets, digests := map[string]events.Sheet{}, []string{}
	for i, g := range all {
		present, before, err := entryOf(head, t.name, g.w)
		if err != nil {
			return r, nil, err
		}
		if t.done(g, present) {
			now[i] = present
			continue
		}
		now[i] = g.entry
		files := t.files(g)
		if before == nil && len(files) == 0 && t.name.Table == table.Quarantine {
			continue // nothing was ever refused in this window: no commit is owed
		}
		now[i].Changed = changedDays(present.Sheet, g.entry.Sheet)
		data, err := json.Marshal(now[i])
		if err != nil {
			return r, nil, err
		}
		sheets[g.w.Key()], digests = g.entry.Sheet, append(digests, g.entry.Digest)
		r.Windows = append(r.Windows, table.Content{Window: g.w, Files: files, Entry: data, Done: func(now json.RawMessage) (bool, error) {
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
