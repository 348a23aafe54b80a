package lake

import (
	"context"
	"errors"
	"fmt"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/lake/merge"
)

// Config says how large files are.
type Config struct {
	// FileBytes is the size that data files are made for, where there is enough to fill them.
	FileBytes int64 `env:"ALMANAC_FILE_BYTES,default=268435456"`
}

// Check says what is wrong beyond the form of the variable.
func (c Config) Check() error {
	if c.FileBytes <= 0 {
		return fmt.Errorf("ALMANAC_FILE_BYTES must be more than 0, not %d", c.FileBytes)
	}
	return nil
}

// Join makes larger Parquet files of consecutive ones, in the same order of rows: as few as hold them all with about the target size in each, so
// that each has half of it or more if all together have. What it makes lies in a folder and is named by its digest, which depends on the
// given files alone. Files that stay as they are stay where they are. The given files are not removed.
func (l *Lake) Join(ctx context.Context, dir string, files []events.File) ([]events.File, error) {
	var joined []events.File
	for _, group := range packed(files, l.target) {
		if len(group) == 1 {
			joined = append(joined, group[0])
			continue
		}
		f, err := l.join(ctx, dir, group)
		if err != nil {
			return nil, fmt.Errorf("join %d files: %w", len(group), err)
		}
		joined = append(joined, f)
	}
	return joined, nil
}

// packed cuts a list of files into parts of about the same size, each of which is to be one file.
func packed(files []events.File, target int64) [][]events.File {
	var total, past int64
	for _, f := range files {
		total += f.Bytes
	}
	if total == 0 {
		return nil
	}
	parts := (total + target - 1) / target
	groups := make([][]events.File, 0, parts)
	last := int64(-1)
	for _, f := range files {
		// A file belongs where its middle lies.
		at := (2*past + f.Bytes) * parts / (2 * total)
		past += f.Bytes
		if at != last {
			groups, last = append(groups, nil), at
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], f)
	}
	return groups
}

func (l *Lake) join(ctx context.Context, dir string, files []events.File) (_ events.File, err error) {
	out, err := l.Create(ctx, dir, "", ".parquet")
	if err != nil {
		return events.File{}, err
	}
	defer func() { err = errors.Join(err, out.Abort()) }()
	w := merge.New(out)
	for _, f := range files {
		before := w.Rows()
		if err := l.add(ctx, w, f.Path); err != nil {
			return events.File{}, err
		}
		if got := w.Rows() - before; got != f.Rows {
			return events.File{}, fmt.Errorf("%s has %d rows, want %d", f.Path, got, f.Rows)
		}
	}
	if err := w.Close(); err != nil {
		return events.File{}, err
	}
	out.AddRows(w.Rows())
	return out.Finish()
}

func (l *Lake) add(ctx context.Context, w *merge.Writer, name string) (err error) {
	in, err := l.OpenFile(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	if err := w.Add(in); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}
