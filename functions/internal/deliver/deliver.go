// Package deliver publishes releases: SQL over pinned tables, whose result becomes a folder that never changes, with a manifest that a
// stranger can verify.
package deliver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/deliver/release"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/lineage"
	"github.com/almanac-data/almanac/functions/internal/query"
	"github.com/almanac-data/almanac/functions/internal/snapshot"
	"github.com/almanac-data/almanac/functions/internal/table"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// Datasets finds a dataset by name; the error wraps events.ErrInvalid if there is none.
type Datasets interface {
	Dataset(name string) (*dataset.Dataset, error)
}

// Files are the files of the warehouse, by their paths in it. What is missing is fs.ErrNotExist.
type Files interface {
	// Parquet starts data files in a folder.
	Parquet(ctx context.Context, dir string, schema *arrow.Schema) table.Writer
	ReadFile(ctx context.Context, name string) ([]byte, error)
	// WriteFile makes a durable file, or replaces it whole.
	WriteFile(ctx context.Context, name string, data []byte) error
}

// Folders are published whole.
type Folders interface {
	// MkTemp makes a folder within parent that nobody sees.
	MkTemp(ctx context.Context, parent string) (string, error)
	// Publish renames a folder. It cannot overwrite: a name that is taken is fs.ErrExist.
	Publish(ctx context.Context, temp, final string) error
	// Discard deletes a folder that MkTemp has made.
	Discard(ctx context.Context, temp string) error
}

// Deliver handles dues of the step deliver.
type Deliver struct {
	Journal  facts.Journal
	Datasets Datasets
	Tables   snapshot.Tables
	Engine   snapshot.Engine
	Files    Files
	Folders  Folders
	Now      func() time.Time // for the provenance
	Code     string           // version of Almanac, for the provenance
	Log      *slog.Logger     // of results that are made in parts; nil for none

	taker snapshot.Taker
}

// work is one window of a release.
type work struct {
	*Deliver

	d     *dataset.Dataset
	q     dataset.Query
	w     window.Window
	piece events.Piece
	due   *events.Due
}

// Handle publishes the release that the due names, if its inputs are complete and the latest revision was not made from just these.
// It may be called any number of times, in any order, by any number of instances.
func (dl *Deliver) Handle(ctx context.Context, ev events.Event) error {
	due, ok := ev.(*events.Due)
	if !ok || due.Step != events.StepDeliver {
		return fmt.Errorf("%w: deliver handles dues of the step deliver, not %T", events.ErrInvalid, ev)
	}
	d, err := dl.Datasets.Dataset(due.Dataset)
	if err != nil {
		return err
	}
	q, ok := lineage.Release(d, due.Name)
	if !ok {
		return fmt.Errorf("%w: %s has no release %q", events.ErrInvalid, d.Name, due.Name)
	}
	w, err := window.Parse(due.Window)
	if err != nil || w.Size != q.Every {
		return fmt.Errorf("%w: %s is released each %s, %q is no such window", events.ErrInvalid, q.Name, q.Every, due.Window)
	}
	job := work{dl, d, q, w, events.Piece{Dataset: d.Name, Name: q.Name, Window: w.Key()}, due}
	for {
		err := job.run(ctx)
		if !errors.Is(err, table.ErrMoved) || ctx.Err() != nil {
			return err
		}
	}
}

// run does the work for the tables and releases as they are now. The error wraps table.ErrMoved if they changed meanwhile.
func (j work) run(ctx context.Context) error {
	pin, err := j.taker.Take(ctx, j.Tables, j.d, j.q, j.w)
	if err != nil {
		return err
	}
	if !pin.Complete() && !j.q.Provisional {
		return nil // the calendar comes again
	}
	view, err := j.Journal.View(ctx)
	if err != nil {
		return err
	}
	latest, stale, err := j.latest(ctx, view)
	if err != nil {
		return err
	}
	if latest != nil && latest.Content.Signature == pin.Inputs && !stale {
		return j.say(ctx, view, latest)
	}
	attempt := lineage.Attempt(j.q, pin.Inputs)
	if stopped, ok := facts.Get[events.Stopped](view, j.piece); ok && stopped.Inputs == attempt && !stopped.Waiting {
		return nil
	}
	published, err := j.publish(ctx, pin, latest)
	if _, ok := errors.AsType[*query.Error](err); ok {
		return j.Journal.Say(ctx, events.Stopped{
			Piece: j.piece, Step: events.StepDeliver, Inputs: attempt, Reason: "sql",
			Detail: err.Error() + ". Mend the text; the release is made again by itself.",
		})
	}
	if err != nil {
		return fmt.Errorf("release %s: %w", j.piece.Key(), err)
	}
	return j.say(ctx, view, published)
}

// say says that a release is published, unless that was said.
func (j work) say(ctx context.Context, view *facts.View, m *release.Manifest) error {
	f := events.Released{
		Piece: j.piece, Version: m.Content.Version, Revision: m.Content.Revision, Inputs: m.Content.Signature, Content: m.ContentSHA256,
		Rows: m.Content.Rows.Total, Provisional: len(m.Content.Provisional) > 0,
	}
	for _, file := range m.Content.Files {
		f.Bytes += file.Bytes
	}
	if said, ok := facts.Get[events.Released](view, j.piece); ok && said == f {
		return nil
	}
	return j.Journal.Say(ctx, f)
}

// folder is where the releases of the dataset lie.
func (j work) folder() string { return path.Join("releases", j.d.Name) }

func (j work) version(revision int) string {
	return j.q.Name + "-" + j.w.Key() + "." + strconv.Itoa(revision)
}

// latest is the manifest of the latest revision, or nil, and whether it is marked as stale. It looks at the warehouse; the fact only says
// where to start, so that revisions which are no longer kept are no gap.
func (j work) latest(ctx context.Context, view *facts.View) (m *release.Manifest, stale bool, err error) {
	revision := 1
	if said, ok := facts.Get[events.Released](view, j.piece); ok && said.Revision > 1 {
		if found, err := j.manifest(ctx, said.Revision); err != nil {
			return nil, false, err
		} else if found != nil {
			m, revision = found, said.Revision+1
		}
	}
	for ; ; revision++ {
		next, err := j.manifest(ctx, revision)
		if err != nil {
			return nil, false, err
		}
		if next == nil {
			break
		}
		m = next
	}
	if m == nil {
		return nil, false, nil
	}
	_, err = j.Files.ReadFile(ctx, j.mark(m.Content.Version))
	if errors.Is(err, fs.ErrNotExist) {
		return m, false, nil
	}
	return m, err == nil, err
}

// manifest reads the manifest of a revision: nil if there is no such revision.
func (j work) manifest(ctx context.Context, revision int) (*release.Manifest, error) {
	data, err := j.Files.ReadFile(ctx, path.Join(j.folder(), j.version(revision), release.ManifestFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m, err := release.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", j.version(revision), err)
	}
	return &m, nil
}
