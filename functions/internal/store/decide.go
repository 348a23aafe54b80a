package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/store/commit"
	"github.com/almanac-data/almanac/functions/internal/store/layout"
	"github.com/almanac-data/almanac/functions/internal/store/settle"
	"github.com/almanac-data/almanac/functions/internal/table"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// decide settles a generation once all of its slices are staged. It returns nil where nothing is to commit: slices are missing, or the
// window stops here.
func (s *Store) decide(ctx context.Context, view *facts.View, d *dataset.Dataset, w window.Window, piece events.Piece) (*commit.Generation, error) {
	parts, pin, ok := chain(view, d, piece)
	if !ok {
		return nil, nil
	}
	if stopped, ok := facts.Get[events.Stopped](view, piece); ok && stopped.Definition == d.Definition && stopped.Inputs == events.GenerationDigest(parts) {
		return nil, nil
	}
	whole, err := (&settle.Settler{Files: s.Files, Opener: s.Opener}).Settle(ctx, d, w, parts)
	if err != nil {
		return nil, fmt.Errorf("decide %s: %w", piece.Key(), s.mend(ctx, parts, err))
	}
	if len(whole.Stop) > 0 {
		return nil, s.stop(ctx, d, piece, whole)
	}
	if err := s.join(ctx, d, w, &whole); err != nil {
		return nil, fmt.Errorf("decide %s: %w", piece.Key(), s.mend(ctx, parts, err))
	}
	g := &commit.Generation{Piece: piece, Window: w, Rows: whole.Rows, Quarantine: whole.Quarantine, Slices: parts, Entry: events.Entry{
		Generation: piece.Generation, Definition: d.Definition, Digest: whole.Digest, Slices: len(parts), Pin: pin,
		Sheet: whole.Sheet, Reasons: whole.Reasons,
	}}
	if c, ok := facts.Get[events.Collected](view, piece.At(1)); ok {
		g.Entry.Reason = c.Reason
	}
	return g, nil
}

// join makes the files of a window large: each slice has written its own.
func (s *Store) join(ctx context.Context, d *dataset.Dataset, w window.Window, whole *settle.Whole) (err error) {
	if whole.Rows, err = s.Joiner.Join(ctx, layout.Data(d.Name, table.Rows, w), whole.Rows); err != nil {
		return fmt.Errorf("join rows: %w", err)
	}
	if whole.Quarantine, err = s.Joiner.Join(ctx, layout.Data(d.Name, table.Quarantine, w), whole.Quarantine); err != nil {
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

func (s *Store) stop(ctx context.Context, d *dataset.Dataset, piece events.Piece, whole settle.Whole) error {
	broken := make([]string, len(whole.Stop))
	for i, b := range whole.Stop {
		broken[i] = b.Detail
	}
	before := ""
	if piece.Generation > 1 {
		before = "; what an earlier one has stored stays"
	}
	detail := strings.Join(broken, "; ") + fmt.Sprintf(". Nothing of generation %d of this window is visible%s. Look at its refused rows with `almanac quarantine show %s %s`, "+
		"then mend the source or the contract; the window is collected again by itself.", piece.Generation, before, d.Name, piece.Window)
	return s.Journal.Say(ctx, events.Stopped{
		Piece: piece, Step: "store", Definition: d.Definition, Inputs: whole.Digest, Reason: whole.Stop[0].Reason, Detail: detail,
	})
}
