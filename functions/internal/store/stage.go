package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"


	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/store/layout"
	"github.com/almanac-data/almanac/functions/internal/table"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// staging is the writing of one slice.
type staging struct {
	*Store

	d         *dataset.Dataset
	w         window.Window
	valid     events.Validated
	collected events.Collected
}

func (st *staging) run(ctx context.Context) (events.Staged, error) {
	staged := events.Staged{
		Piece: st.valid.Piece, Definition: st.valid.Definition, Inputs: st.valid.Digest(),
		Last: st.collected.Last, Reasons: st.valid.Reasons,
	}
	sys := layout.System{Dataset: st.d, Window: st.w, Generation: st.valid.Generation, Slice: st.valid.Slice}
	var err error
	if err = st.rows(ctx, sys, &staged); err != nil {
		return staged, err
	}
	if staged.Quarantine, err = st.quarantine(ctx, sys); err != nil {
		return staged, err
	}
	staged.Plain = st.collected.Archive
	staged.Raw, err = st.archive(ctx)
	return staged, err
}

// rows writes the clean blocks as data files, and counts what is written per event day by itself:
// the counts must be those that validate has said.
func (st *staging) rows(ctx context.Context, sys layout.System, staged *events.Staged) (err error) {
	schema := block.Schema(st.d)
	out := st.Files.Parquet(ctx, layout.Data(st.d.Name, table.Rows, st.w), layout.Rows(st.d))
	defer func() { err = errors.Join(err, out.Abort()) }()
	tally := newTally(st.d, schema)
	for b, err := range st.Blocks.Read(ctx, st.valid.Rows) {
		if err != nil {
			return lost(st.valid, fmt.Errorf("read clean rows: %w", err))
		}
		batch, err := block.Decode(b.Value, schema)
		if err != nil {
			return fmt.Errorf("%w: %w", events.ErrInvalid, err)
		}
		tally.add(batch)
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
	if staged.Sheet, err = tally.sheet(st.valid.Sheet); err != nil {
		return fmt.Errorf("%w: %s: %w", events.ErrInvalid, st.valid.Key(), err)
	}
	staged.Newest, staged.Nulls = tally.newestTime(), tally.nulls
	staged.Keys, err = st.keys(ctx, tally)
	return err
}

func (st *staging) keys(ctx context.Context, t *tally) (_ []events.File, err error) {
	var files []events.File
	for _, k := range t.keys {
		f, err := st.Files.File(ctx, layout.Keys(st.d.Name, st.w), strconv.Itoa(st.valid.Slice)+"-", ".keys")
		if err != nil {
			return nil, fmt.Errorf("write keys: %w", err)
		}
		defer func() { err = errors.Join(err, f.Abort()) }()
		if _, err := f.Write(k.sorted()); err != nil {
			return nil, fmt.Errorf("write keys: %w", err)
		}
		file, err := f.Finish()
		if err != nil {
			return nil, fmt.Errorf("write keys: %w", err)
		}
		file.Rows = int64(len(k.entries))
		files = append(files, file)
	}
	return files, nil
}

func (st *staging) quarantine(ctx context.Context, sys layout.System) (_ []events.File, err error) {
	out := st.Files.Parquet(ctx, layout.Data(st.d.Name, table.Quarantine, st.w), layout.Quarantine())
	defer func() { err = errors.Join(err, out.Abort()) }()
	for _, claim := range st.valid.Quarantine {
		if claim.Blocks == 0 {
			continue
		}
		for b, err := range st.Blocks.Read(ctx, claim) {
			if err != nil {
				return nil, lost(st.valid, fmt.Errorf("read quarantine: %w", err))
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
	dir := fmt.Sprintf("%s/raw/%s/%d", st.d.Name, st.w.Key(), st.valid.Generation)
	ext := ".zst"
	if st.collected.Archive != "" {
		ext = ".zst.sealed"
	}
	f, err := st.Files.File(ctx, dir, fmt.Sprintf("%06d-", st.valid.Slice), ext)
	if err != nil {
		return events.File{}, fmt.Errorf("archive raw blocks: %w", err)
	}
	defer func() { err = errors.Join(err, f.Abort()) }()
	for b, err := range st.Blocks.Read(ctx, st.collected.Raw) {
		if err != nil {
			return events.File{}, lost(st.collected, fmt.Errorf("archive raw blocks: %w", err))
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
