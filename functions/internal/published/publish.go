package published

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// Warehouse is where datasets are published.
type Warehouse interface {
	// FS shows a folder of the warehouse.
	FS(dir string) fs.FS
	// MkTemp makes a folder that nobody sees, Publish gives it its name, which must be free, and Discard removes it.
	MkTemp(ctx context.Context, parent string) (string, error)
	Publish(ctx context.Context, temp, final string) error
	Discard(ctx context.Context, temp string) error
	// WriteFile makes or replaces a file, whole.
	WriteFile(ctx context.Context, name string, data []byte) error
	// WriteNew makes a file whose name must be free: else the error wraps fs.ErrExist.
	WriteNew(ctx context.Context, name string, data []byte) error
}

// Outcome is what came of publishing or withdrawing.
type Outcome struct {
	Record Record
	Before *Record // the last record before; nil if there was none
	Done   bool    // false if there was nothing to do: then Record is the last one, as it was
}

// Put makes the files of a folder, which m lists, the current version of a dataset. It may be called any number of times, by several at once: the
// last to call it decides. If the version is current already nothing is written, but its files are read. The record says who does it, by which
// code, when, and what contract and definition the folder has; the rest is filled in.
func Put(ctx context.Context, w Warehouse, dir string, m Manifest, r Record) (Outcome, error) {
	r.Dataset, r.Action, r.Version, r.Files, r.Bytes = m.Dataset, Publish, m.Version(), len(m.Files), m.Bytes()
	if err := store(ctx, w, dir, m); err != nil {
		return Outcome{}, fmt.Errorf("publish %s: %w", m.Dataset, err)
	}
	out, err := say(ctx, w, func(before *Record) (Record, bool) {
		return r, before == nil || before.Action != Publish || before.Version != r.Version
	}, m.Dataset)
	if err != nil {
		return out, fmt.Errorf("publish %s: %w", m.Dataset, err)
	}
	return out, nil
}

// Take withdraws a dataset: nothing more of it is due. Its versions, its history and its tables stay, and Put brings it back. The record says who
// does it, by which code and when. The error wraps fs.ErrNotExist if it was never published, and ErrName if it cannot be.
func Take(ctx context.Context, w Warehouse, dataset string, r Record) (Outcome, error) {
	if _, err := Last(w.FS(Root), dataset); err != nil {
		return Outcome{}, fmt.Errorf("withdraw %s: %w", dataset, err)
	}
	out, err := say(ctx, w, func(before *Record) (Record, bool) {
		next := *before
		next.Action, next.At, next.By, next.Code = Withdraw, r.At, r.By, r.Code
		return next, before.Action != Withdraw
	}, dataset)
	if err != nil {
		return out, fmt.Errorf("withdraw %s: %w", dataset, err)
	}
	return out, nil
}

// say adds a record to a history. What is to be added is asked for again when another was quicker.
func say(ctx context.Context, w Warehouse, next func(before *Record) (Record, bool), dataset string) (Outcome, error) {
	for {
		var out Outcome
		switch before, err := Last(w.FS(Root), dataset); {
		case err == nil:
			out.Before = &before
		case !errors.Is(err, fs.ErrNotExist):
			return out, err
		}
		if out.Record, out.Done = next(out.Before); !out.Done {
			out.Record = *out.Before
			return out, nil
		}
		out.Record.Format, out.Record.Number, out.Record.Previous = recordFormat, 1, ""
		if out.Before != nil {
			out.Record.Number, out.Record.Previous = out.Before.Number+1, out.Before.digest
		}
		data, err := json.MarshalIndent(out.Record, "", "  ")
		if err != nil {
			return out, err
		}
		data = append(data, '\n')
		err = w.WriteNew(ctx, path.Join(Root, recordPath(dataset, out.Record.Number)), data)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		return out, err
	}
}

// store writes the files of a version, unless they are there.
func store(ctx context.Context, w Warehouse, dir string, m Manifest) error {
	_, err := Verify(w.FS(Root), m.Dataset, m.Version())
	if err == nil {
		return nil
	}
	if !absent(w.FS(Root), m) {
		if errors.Is(err, fs.ErrNotExist) {
			err = damaged(m.Dataset, m.Version(), err)
		}
		return err
	}
	temp, err := w.MkTemp(ctx, path.Join(Root, m.Dataset))
	if err != nil {
		return err
	}
	if err = fill(ctx, w, dir, temp, m); err == nil {
		err = w.Publish(ctx, temp, path.Join(Root, m.Dataset, m.Version()))
	}
	if err == nil {
		return nil
	}
	err = errors.Join(err, w.Discard(context.WithoutCancel(ctx), temp))
	if errors.Is(err, fs.ErrExist) { // another has published the same
		_, err = Verify(w.FS(Root), m.Dataset, m.Version())
	}
	return err
}

// absent says whether nothing stands at the name of a version.
func absent(datasets fs.FS, m Manifest) bool {
	_, err := fs.Stat(datasets, path.Join(m.Dataset, m.Version()))
	return errors.Is(err, fs.ErrNotExist)
}

// fill writes manifest and files into a temporary folder.
func fill(ctx context.Context, w Warehouse, dir, temp string, m Manifest) error {
	for _, f := range m.Files {
		data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(f.Path)))
		if err == nil && digest(data) != f.Digest {
			err = fmt.Errorf("%s/%s was changed meanwhile: publish it when nobody writes to it", m.Dataset, f.Path)
		}
		if err == nil {
			err = w.WriteFile(ctx, path.Join(temp, filesName, f.Path), data)
		}
		if err != nil {
			return err
		}
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return w.WriteFile(ctx, path.Join(temp, manifestName), append(data, '\n'))
}
