// Package process parses and cleans the raw blocks of one slice: bytes become typed rows, and records that cannot become
// rows go to quarantine with the reason. It is the only step that sees personal values in clear.
package process

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/block/seal"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/process/parse"
	"github.com/almanac-data/almanac/functions/internal/process/vector"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// Step is the name of the step in the facts it says.
const Step = "process"

// Datasets finds a dataset by name; the error wraps events.ErrInvalid if there is none.
type Datasets interface {
	Dataset(name string) (*dataset.Dataset, error)
	// Latest looks for a newer version first: others may have seen one that Dataset does not give yet.
	Latest(ctx context.Context, name string) (*dataset.Dataset, error)
}

// Pseudonyms begins a slice: what it gives makes its pseudonyms, and is used by one goroutine.
type Pseudonyms func() vector.Pseudonyms

// Seals gives the data keys by which raw blocks are sealed.
type Seals interface {
	// Key gives that of a window.
	Key(ctx context.Context, dataset, window string) (*seal.Key, error)
}

// Process handles collected facts.
type Process struct {
	Journal  facts.Journal
	Blocks   block.Store
	Datasets Datasets
	// Pseudonyms gives those of a slice, which stand for personal values; nil where no dataset has any.
	Pseudonyms Pseudonyms
	// OpenKey gives them when the first dataset that has personal values comes later than the process; nil if none can.
	OpenKey func(context.Context) (Pseudonyms, error)
	// Seals opens sealed raw blocks; nil if there are none.
	Seals Seals

	parsers parsers
	opening sync.Mutex
}

// keys gives the pseudonyms of a slice of a dataset; nil if it has no use for them.
func (p *Process) keys(ctx context.Context, d *dataset.Dataset) (vector.Pseudonyms, error) {
	if !d.Personal() {
		return nil, nil
	}
	p.opening.Lock()
	defer p.opening.Unlock()
	if p.Pseudonyms == nil && p.OpenKey != nil {
		keys, err := p.OpenKey(ctx)
		if err != nil {
			return nil, err
		}
		p.Pseudonyms = keys
	}
	if p.Pseudonyms == nil {
		return nil, nil
	}
	return p.Pseudonyms(), nil
}

// Handle parses and cleans the slice that the event names, if that is not done. It may be called any number of times, in any
// order, by any number of instances: the blocks it makes depend on the raw blocks and the dataset's definition alone.
func (p *Process) Handle(ctx context.Context, ev events.Event) error {
	if _, ok := ev.(*events.Collected); !ok {
		return fmt.Errorf("%w: process handles collected, not %T", events.ErrInvalid, ev)
	}
	piece := ev.Of()
	d, err := p.Datasets.Dataset(piece.Dataset)
	if err != nil {
		return err
	}
	w, err := window.Parse(piece.Window)
	if err != nil {
		return fmt.Errorf("%w: process %s: %w", events.ErrInvalid, piece.Key(), err)
	}
	view, err := p.Journal.View(ctx)
	if err != nil {
		return err
	}
	collected, ok := facts.Get[events.Collected](view, piece)
	if !ok || superseded(view, piece) {
		return nil
	}
	if collected.Definition != d.Definition { // collected by an older definition, or by a newer one that is not known here
		if d, err = p.Datasets.Latest(ctx, piece.Dataset); err != nil {
			return fmt.Errorf("look for a newer definition of %s: %w", piece.Key(), err)
		}
	}
	if done(view, collected, d) {
		return nil
	}
	if err := p.slice(ctx, d, w, collected); err != nil {
		return fmt.Errorf("process %s: %w", piece.Key(), err)
	}
	return nil
}

// superseded says whether the generation, or a later one, is stored.
func superseded(view *facts.View, piece events.Piece) bool {
	return view.StoredGeneration(piece.Dataset, piece.Window) >= max(piece.Generation, 1)
}

// done says whether the slice is processed as it is collected now, or its window has stopped here.
func done(view *facts.View, c events.Collected, d *dataset.Dataset) bool {
	if f, ok := facts.Get[events.Processed](view, c.Piece); ok && f.Inputs == c.Digest() && f.Definition == d.Definition {
		return true
	}
	stop, ok := facts.Get[events.Stopped](view, c.Whole())
	return ok && stop.Step == Step && stop.Definition == d.Definition && stop.Inputs == c.Digest()
}

// slice does the work, and says how it ended.
func (p *Process) slice(ctx context.Context, d *dataset.Dataset, w window.Window, c events.Collected) error {
	if c.Definition != d.Definition {
		// The blocks may have been cut by another format: the calendar makes the slice due again.
		return p.Journal.Retract(ctx, c)
	}
	fact, err := p.run(ctx, d, w, c)
	var mismatch *parse.MismatchError
	switch {
	case errors.As(err, &mismatch):
		return p.Journal.Say(ctx, events.Stopped{
			Piece: c.Whole(), Step: Step, Definition: d.Definition, Inputs: c.Digest(), Reason: mismatch.Reason, Detail: err.Error(),
		})
	case errors.Is(err, block.ErrAbsent):
		if lost := p.Journal.Retract(ctx, c); lost != nil {
			return errors.Join(err, lost)
		}
		return err
	case err != nil:
		return err
	}
	return p.Journal.Say(ctx, fact)
}

// run writes the blocks of a slice and makes the fact that claims them.
func (p *Process) run(ctx context.Context, d *dataset.Dataset, w window.Window, c events.Collected) (events.Processed, error) {
	fact := events.Processed{Piece: c.Piece, Definition: d.Definition, Inputs: c.Digest()}
	rows, err := p.Blocks.Open(ctx, block.ProcessedTopic(d.Name), c.Piece)
	if err != nil {
		return fact, err
	}
	defer rows.Close()
	refused, err := p.Blocks.Open(ctx, block.QuarantineTopic(d.Name), c.Piece)
	if err != nil {
		return fact, err
	}
	defer refused.Close()
	s := &slice{dataset: d, collected: c, rows: rows, quarantine: newQuarantine(d, refused), unseal: unseal{seals: p.Seals, piece: c.Piece}}
	defer s.quarantine.close()
	keys, err := p.keys(ctx, d)
	if err != nil {
		return fact, err
	}
	if s.parser, err = p.parsers.get(d, w, keys); err != nil {
		return fact, err
	}
	defer p.parsers.put(d, s.parser)
	buf, _ := buffers.Get().(*[]byte)
	s.buf = *buf
	defer func() {
		*buf = s.buf
		buffers.Put(buf)
	}()
	for b, err := range p.Blocks.Read(ctx, c.Raw) {
		if err == nil && s.broken == nil {
			err = s.block(ctx, b)
		}
		if err != nil {
			return fact, err
		}
	}
	if err := s.end(ctx); err != nil {
		return fact, err
	}
	if fact.Rows, err = rows.Claim(ctx); err != nil {
		return fact, err
	}
	if fact.Quarantine, err = refused.Claim(ctx); err != nil {
		return fact, err
	}
	fact.Sheet = s.parser.Sheet()
	return fact, nil
}
