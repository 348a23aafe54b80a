// Package collect reads the source of a window, slice after slice, into raw blocks.
//
// The source is pinned before its first byte is read, and looked at again before and after each slice. A slice starts where the
// one before ended, lies in one file, and ends at a record end; its raw blocks, one after the other, are the bytes of the source.
package collect

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/block/seal"
	"github.com/almanac-data/almanac/functions/internal/collect/archive"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// Sources reads what windows are collected from. Where the source is at fault its errors wrap fs.ErrNotExist or fs.ErrPermission
// (the world may mend it) or events.ErrInvalid (a person must), and say what to do.
type Sources interface {
	// Versions lists the files of a window without digests; it is cheap.
	Versions(ctx context.Context, d *dataset.Dataset, w window.Window) (events.Pin, error)
	// Pin lists the files of a window with digests; it reads them all.
	Pin(ctx context.Context, d *dataset.Dataset, w window.Window) (events.Pin, error)
	// Open gives the decompressed bytes of a file from an offset on, for as long as ctx lasts.
	Open(ctx context.Context, d *dataset.Dataset, file events.PinnedFile, offset int64) (io.ReadCloser, error)
}

// Keys gives the data keys of windows.
type Keys interface {
	// Key gives that of a window; the error wraps fs.ErrNotExist if it has none.
	Key(ctx context.Context, dataset, window string) (*seal.Key, error)
	// Ensure gives it too, and makes it if there is none. Of several at once all get the same.
	Ensure(ctx context.Context, dataset, window string) (*seal.Key, error)
}

// Datasets finds a dataset by name; the error wraps events.ErrInvalid if there is none.
type Datasets interface {
	Dataset(name string) (*dataset.Dataset, error)
}

// Sizes of slices and blocks, in bytes of the source, unless Collect says others.
const (
	DefaultSliceBytes = 64 << 20
	DefaultBlockBytes = 512 << 10
)

// Config says how large slices are.
type Config struct {
	// SliceBytes is how many bytes of the source a slice has, about: it ends with a block.
	SliceBytes int64 `env:"ALMANAC_SLICE_BYTES,default=67108864"`
}

// Check says what is wrong beyond the form of the variable.
func (c Config) Check() error {
	if c.SliceBytes <= 0 {
		return fmt.Errorf("ALMANAC_SLICE_BYTES must be more than 0, not %d", c.SliceBytes)
	}
	return nil
}

// Collect handles dues of the step collect.
type Collect struct {
	Journal  facts.Journal
	Blocks   block.Store
	Sources  Sources
	Datasets Datasets
	// Archive has the raw bytes of earlier generations. With it, a generation that is due for another reason than its source
	// does not need the source; nil reads the source always.
	Archive archive.Files
	// Keys seals the raw blocks of datasets with personal columns; nil leaves them in clear.
	Keys Keys
	// SliceBytes is the size at which a slice ends with the next record.
	SliceBytes int64
	// BlockBytes is the size that a block stays below, unless one record is longer; at most half of block.MaxRaw.
	BlockBytes int
	// Now tells the time that is left until the deadline of a context. Nil: a call goes on until the window is collected.
	Now func() time.Time
}

// Handle collects the slices of a generation that are missing, or those for which there is time; for the rest it says a due.
// It may be called any number of times, in any order, by any number of instances.
func (c *Collect) Handle(ctx context.Context, ev events.Event) error {
	due, ok := ev.(*events.Due)
	if !ok || due.Step != events.StepCollect {
		return fmt.Errorf("%w: collect handles dues of the step collect, not %T", events.ErrInvalid, ev)
	}
	if due.Generation < 1 {
		return fmt.Errorf("%w: collect %s: its generation is %d; the first is 1", events.ErrInvalid, due.Key(), due.Generation)
	}
	d, err := c.Datasets.Dataset(due.Dataset)
	if err != nil {
		return err
	}
	w, err := scheduled(d, due.Window)
	if err != nil {
		return fmt.Errorf("collect %s: %w", due.Key(), err)
	}
	view, err := c.Journal.View(ctx)
	if err != nil {
		return err
	}
	stored := facts.LatestOf(view, d.Name, due.Window)
	r := &run{Collect: c, d: d, w: w, view: view, due: *due, stored: stored, piece: due.Whole()}
	defer r.close()
	if err := r.handle(ctx); err != nil {
		return fmt.Errorf("collect %s: %w", r.piece.Key(), err)
	}
	return nil
}

// scheduled reads the key of a window, which must be one of the dataset's schedule.
func scheduled(d *dataset.Dataset, key string) (window.Window, error) {
	w, err := window.Parse(key)
	if err != nil {
		return w, fmt.Errorf("%w: %w", events.ErrInvalid, err)
	}
	end := d.Collect.End
	if w.Size != d.Collect.Every || w.Start.Before(d.Collect.Start) || !end.IsZero() && w.End.After(end) {
		return w, fmt.Errorf("%w: it is not a window of the schedule of %s", events.ErrInvalid, d.Name)
	}
	return w, nil
}

func (r *run) handle(ctx context.Context) error {
	if r.piece.Generation < r.stored.Generation || r.restated(r.piece) {
		return nil
	}
	if r.due.Reason == reasonProbe {
		return r.probe(ctx)
	}
	if r.piece.Generation == r.stored.Generation {
		return nil
	}
	return r.generation(ctx)
}

func (r *run) restated(p events.Piece) bool {
	_, ok := facts.Get[events.Restated](r.view, p)
	return ok
}

// next checks that the generation is the one that may be collected: the first after the stored one that is not given up.
func (r *run) next() error {
	want := r.piece
	for want.Generation = r.stored.Generation + 1; r.restated(want); {
		want.Generation++
	}
	if r.piece.Generation != want.Generation {
		return fmt.Errorf("%w: the next generation is %d", events.ErrInvalid, want.Generation)
	}
	return nil
}
