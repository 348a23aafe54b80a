// Package validate applies the row rules of the contract to one slice.
//
// A slice without a bad row is passed on as it is, by claiming the blocks of process; otherwise its blocks are written again, those
// without a bad row byte for byte. A row that breaks a rule goes to quarantine with its original bytes, which
// are found again in the raw block by the number of the record. Those bytes hold what the source held, also of columns that
// are classified as personal and leave process as pseudonyms only: who may read the quarantine may read personal data. Where raw blocks
// are sealed, the bytes stay in them: this step has no key, and says only where the record lies.
package validate

import (
	"context"
	"errors"
	"fmt"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/facts"
)

// Datasets finds a dataset by name; the error wraps events.ErrInvalid if there is none.
type Datasets interface {
	Dataset(name string) (*dataset.Dataset, error)
}

// Validate handles processed facts.
type Validate struct {
	Journal  facts.Journal
	Blocks   block.Store
	Datasets Datasets
}

// Handle validates the slice that the event names, unless that is done for what process has said last.
// It may be called any number of times, in any order, by any number of instances.
func (v *Validate) Handle(ctx context.Context, ev events.Event) error {
	if _, ok := ev.(*events.Processed); !ok {
		return fmt.Errorf("%w: validate handles processed, not %T", events.ErrInvalid, ev)
	}
	piece := ev.Of()
	d, err := v.Datasets.Dataset(piece.Dataset)
	if err != nil {
		return err
	}
	view, err := v.Journal.View(ctx)
	if err != nil {
		return err
	}
	if view.StoredGeneration(d.Name, piece.Window) >= max(piece.Generation, 1) {
		return nil
	}
	processed, ok := facts.Get[events.Processed](view, piece)
	if !ok || processed.Definition != d.Definition {
		return nil // an event without a fact, or rows of another definition, be it older or not known here yet: the calendar says what is missing again
	}
	collected, ok := facts.Get[events.Collected](view, piece)
	if !ok || processed.Inputs != collected.Digest() {
		return nil
	}
	if done, ok := facts.Get[events.Validated](view, piece); ok && done.Inputs == processed.Digest() && done.Definition == d.Definition {
		return nil
	}
	fact, err := v.slice(ctx, d, collected, processed)
	if lost := new(lostError); errors.As(err, &lost) {
		if err := v.Journal.Retract(ctx, lost.fact); err != nil {
			return fmt.Errorf("validate %s: %w", piece.Key(), err)
		}
	}
	if err != nil {
		return fmt.Errorf("validate %s: %w", piece.Key(), err)
	}
	return v.Journal.Say(ctx, fact)
}

// lostError says that the blocks which a fact claims are not there.
type lostError struct {
	fact events.Event
	err  error
}

func (e *lostError) Error() string { return e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

// claimed makes a lostError of an error that says so.
func claimed(fact events.Event, err error) error {
	if errors.Is(err, block.ErrAbsent) {
		return &lostError{fact, err}
	}
	return err
}
