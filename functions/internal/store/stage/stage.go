// Package stage writes validated rows of one slice as files of the warehouse, which nothing shows yet.
package stage

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/store/key"
	"github.com/almanac-data/almanac/functions/internal/store/layout"
	"github.com/almanac-data/almanac/functions/internal/store/tally"
	"github.com/almanac-data/almanac/functions/internal/table"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// Files is where files are written: the warehouse.
type Files interface {
	// Parquet starts data files in a folder.
	Parquet(ctx context.Context, dir string, schema *arrow.Schema) table.Writer
	// File starts a file named <prefix><digest><ext> in a folder.
	File(ctx context.Context, dir, prefix, ext string) (table.FileWriter, error)
}

// Slice is what there is of a slice before it is staged.
type Slice struct {
	Dataset   *dataset.Dataset
	Window    window.Window
	Validated events.Validated
	Collected events.Collected
}

// Write reads the blocks of a slice and writes its files. The error is a *LostError where blocks are gone.
func Write(ctx context.Context, slice Slice, blocks block.Store, files Files) (events.Staged, error) {
	st := &staging{Slice: slice, blocks: blocks, files: files}
	return st.run(ctx)
}

// staging is the writing of one slice.
type staging struct {
	Slice

	blocks block.Store
	files  Files
}

func (st *staging) run(ctx context.Context) (events.Staged, error) {
	staged := events.Staged{
		Piece: st.Validated.Piece, Definition: st.Validated.Definition, Inputs: st.Validated.Digest(),
		Last: st.Collected.Last, Reasons: st.Validated.Reasons,
	}
	sys := layout.System{Dataset: st.Dataset, Window: st.Window, Generation: st.Validated.Generation, Slice: st.Validated.Slice}
	var err error
	if err = st.rows(ctx, sys, &staged); err != nil {
		return staged, err
	}
	if staged.Quarantine, err = st.quarantine(ctx, sys); err != nil {
		return staged, err
	}
	staged.Plain = st.Collected.Archive
	staged.Raw, err = st.archive(ctx)
	return staged, err
}

// rows writes the clean blocks as data files, and counts what is written per event day by itself:
// the counts must be those that validate has said.
func (st *staging) rows(ctx context.Context, sys layout.System, staged *events.Staged) (err error) {
	schema := block.Schema(st.Dataset)
	out := st.files.Parquet(ctx, layout.Data(st.Dataset.Name, table.Rows, st.Window), layout.Rows(st.Dataset))
	defer func() { err = errors.Join(err, out.Abort()) }()
	counted := tally.New(st.Dataset, schema)
	for b, err := range st.blocks.Read(ctx, st.Validated.Rows) {
		if err != nil {
			return lost(st.Validated, fmt.Errorf("read clean rows: %w", err))
		}
		batch, err := block.Decode(b.Value, schema)
		if err != nil {
			return fmt.Errorf("%w: %w", events.ErrInvalid, err)
		}
		counted.Add(batch)
		full := sys.Rows(batch)
		err = out.Write(full)
		full.Release()
		batch.Release()
		if err != nil {
			return fmt.Errorf("write rows: %w", err)
		}
	}
	if staged.Rows, err = out.Finish(); err != nil {
		return fmt.Errorf("write rows: %w", err)
	}
	if staged.Sheet, err = counted.Sheet(st.Validated.Sheet); err != nil {
		return fmt.Errorf("%w: %s: %w", events.ErrInvalid, st.Validated.Key(), err)
	}
	staged.Newest, staged.Nulls = counted.Newest(), counted.Nulls
	staged.Keys, err = st.keys(ctx, counted.Keys)
	return err
}

func (st *staging) keys(ctx context.Context, keys []*key.Set) (_ []events.File, err error) {
	var files []events.File
	for _, k := range keys {
		f, err := st.files.File(ctx, layout.Keys(st.Dataset.Name, st.Window), strconv.Itoa(st.Validated.Slice)+"-", ".keys")
		if err != nil {
			return nil, fmt.Errorf("write keys: %w", err)
		}
		defer func() { err = errors.Join(err, f.Abort()) }()
		if _, err := f.Write(k.Bytes()); err != nil {
			return nil, fmt.Errorf("write keys: %w", err)
		}
		file, err := f.Finish()
		if err != nil {
			return nil, fmt.Errorf("write keys: %w", err)
		}
		file.Rows = int64(k.Len())
		files = append(files, file)
	}
	return files, nil
}

func (st *staging) quarantine(ctx context.Context, sys layout.System) (_ []events.File, err error) {
	out := st.files.Parquet(ctx, layout.Data(st.Dataset.Name, table.Quarantine, st.Window), layout.Quarantine())
	defer func() { err = errors.Join(err, out.Abort()) }()
	for _, claim := range st.Validated.Quarantine {
		if claim.Blocks == 0 {
			continue
		}
		for b, err := range st.blocks.Read(ctx, claim) {
			if err != nil {
				return nil, lost(st.Validated, fmt.Errorf("read quarantine: %w", err))
			}
			batch, err := block.Decode(b.Value, block.Quarantine)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", events.ErrInvalid, err)
			}
			full := sys.Quarantine(batch)
			err = out.Write(full)
			full.Release()
			batch.Release()
			if err != nil {
				return nil, fmt.Errorf("write quarantine: %w", err)
			}
		}
	}
	files, err := out.Finish()
	if err != nil {
		return nil, fmt.Errorf("write quarantine: %w", err)
	}
	return files, nil
}

// archive keeps the raw bytes of the slice: the zstd frames of its blocks one after the other, which zstd -d can read. Sealed blocks stay sealed.
func (st *staging) archive(ctx context.Context) (_ events.File, err error) {
	dir := fmt.Sprintf("%s/raw/%s/%d", st.Dataset.Name, st.Window.Key(), st.Validated.Generation)
	ext := ".zst"
	if st.Collected.Archive != "" {
		ext = ".zst.sealed"
	}
	f, err := st.files.File(ctx, dir, fmt.Sprintf("%06d-", st.Validated.Slice), ext)
	if err != nil {
		return events.File{}, fmt.Errorf("archive raw blocks: %w", err)
	}
	defer func() { err = errors.Join(err, f.Abort()) }()
	for b, err := range st.blocks.Read(ctx, st.Collected.Raw) {
		if err != nil {
			return events.File{}, lost(st.Collected, fmt.Errorf("archive raw blocks: %w", err))
		}
		if _, err := f.Write(b.Value); err != nil {
			return events.File{}, fmt.Errorf("archive raw blocks: %w", err)
		}
	}
	file, err := f.Finish()
	if err != nil {
		return events.File{}, fmt.Errorf("archive raw blocks: %w", err)
	}
	return file, nil
}

// LostError says that the blocks which a fact claims are not there.
type LostError struct {
	Fact events.Event

	err error
}

func (e *LostError) Error() string { return e.err.Error() }
func (e *LostError) Unwrap() error { return e.err }

func lost(fact events.Event, err error) error {
	if errors.Is(err, block.ErrAbsent) {
		return &LostError{fact, err}
	}
	return err
}
