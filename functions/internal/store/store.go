// Package store makes validated rows durable: it writes each slice as files of the warehouse, and once every slice of a
// generation is there and the window's rules hold, makes the generation visible in one commit per table.
package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/store/commit"
	"github.com/almanac-data/almanac/functions/internal/store/stage"
	"github.com/almanac-data/almanac/functions/internal/table"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// Datasets finds a dataset by name; the error wraps events.ErrInvalid if there is none.
type Datasets interface {
	Dataset(name string) (*dataset.Dataset, error)
}

// Files is where data files are written and read: the warehouse.
type Files interface {
	// Parquet starts data files in a folder.
	Parquet(ctx context.Context, dir string, schema *arrow.Schema) table.Writer
	// File starts a file named <prefix><digest><ext> in a folder.
	File(ctx context.Context, dir, prefix, ext string) (table.FileWriter, error)
	// Scan reads columns (nil for all) of a Parquet file, batch by batch, in the order of its rows.
	Scan(ctx context.Context, path string, columns ...string) (table.Reader, error)
}

// Opener reads back a file that File has written.
type Opener interface {
	Open(ctx context.Context, path string) (io.ReadCloser, error)
}

// Joiner makes large data files of small ones.
type Joiner interface {
	// Join makes larger files of consecutive ones, in the same order of rows. The result depends on the files alone; they stay where they are.
	Join(ctx context.Context, dir string, files []events.File) ([]events.File, error)
}

// Store handles validated and staged facts.
type Store struct {
	Journal  facts.Journal
	Blocks   block.Store
	Datasets Datasets
	Files    Files
	Opener   Opener
	Joiner   Joiner
	Tables   commit.Tables
	// Linger bounds how long a commit waits for other windows of the dataset that are under way, to commit them too; 0 means not at all.
	Linger time.Duration
	AtOnce int // slices that are staged at once, which bounds memory; 0 means any number

	groups groups
}

// Handle stages the slice that the event names, if that is not done, and commits its generation, if it is complete.
// It may be called any number of times, in any order, by any number of instances.
func (s *Store) Handle(ctx context.Context, ev events.Event) error {
	switch ev.(type) {
	case *events.Validated, *events.Staged:
	default:
		return fmt.Errorf("%w: store handles validated and staged, not %T", events.ErrInvalid, ev)
	}
	piece := ev.Of()
	d, err := s.Datasets.Dataset(piece.Dataset)
	if err != nil {
		return err
	}
	w, err := window.Parse(piece.Window)
	if err != nil {
		return fmt.Errorf("%w: %w", events.ErrInvalid, err)
	}
	view, err := s.Journal.View(ctx)
	if err != nil {
		return err
	}
	if view.StoredGeneration(d.Name, piece.Window) >= max(piece.Generation, 1) {
		return nil
	}
	if err := s.stageInTurn(ctx, view, d, w, piece); err != nil {
		return fmt.Errorf("stage %s: %w", piece.Key(), err)
	}
	return s.commit(ctx, view, d, w, piece.Whole())
}

// stageInTurn stages a slice once there is room.
func (s *Store) stageInTurn(ctx context.Context, view *facts.View, d *dataset.Dataset, w window.Window, piece events.Piece) error {
	free, err := s.groups.slot(ctx, s.AtOnce)
	if err != nil {
		return err
	}
	defer free()
	return s.stage(ctx, view, d, w, piece)
}

// stage writes the files of one slice unless that is done for what validate has said last.
func (s *Store) stage(ctx context.Context, view *facts.View, d *dataset.Dataset, w window.Window, piece events.Piece) error {
	collected, valid, ok := linked(view, d, piece)
	if !ok {
		return nil // an event without a fact, or a fact for other inputs: the calendar makes the earlier step due again
	}
	if staged, ok := facts.Get[events.Staged](view, piece); ok && staged.Inputs == valid.Digest() {
		return nil
	}
	staged, err := stage.Write(ctx, stage.Slice{Dataset: d, Window: w, Validated: valid, Collected: collected}, s.Blocks, s.Files)
	if lost, ok := errors.AsType[*stage.LostError](err); ok {
		if err := s.Journal.Retract(ctx, lost.Fact); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	return s.Journal.Say(ctx, staged)
}
