// Package aggregate computes one window of an aggregate: SQL over pinned tables, whose result replaces the window in the aggregate's table.
package aggregate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
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

// Writes is where results are written: the warehouse.
type Writes interface {
	// Parquet starts data files in a folder.
	Parquet(ctx context.Context, dir string, schema *arrow.Schema) table.Writer
	Replace(ctx context.Context, r table.Replace) (snapshot int64, err error)
}

// Aggregate handles dues of the step aggregate.
type Aggregate struct {
	Journal  facts.Journal
	Datasets Datasets
	Tables   snapshot.Tables
	Writes   Writes
	Engine   snapshot.Engine
	Log      *slog.Logger // of results that are made in parts; nil for none

	taker snapshot.Taker
}

// Handle computes the window that the due names, if its inputs are complete and its table does not hold just that result already.
// It may be called any number of times, in any order, by any number of instances: what counts is the tables, not the event.
func (a *Aggregate) Handle(ctx context.Context, ev events.Event) error {
	due, ok := ev.(*events.Due)
	if !ok || due.Step != events.StepAggregate {
		return fmt.Errorf("%w: aggregate handles dues of the step aggregate, not %T", events.ErrInvalid, ev)
	}
	d, err := a.Datasets.Dataset(due.Dataset)
	if err != nil {
		return err
	}
	q, ok := lineage.Aggregate(d, due.Name)
	if !ok {
		return fmt.Errorf("%w: %s has no aggregate %q", events.ErrInvalid, d.Name, due.Name)
	}
	w, err := window.Parse(due.Window)
	if err != nil || w.Size != q.Every {
		return fmt.Errorf("%w: %s is computed each %s, %q is no such window", events.ErrInvalid, q.Name, q.Every, due.Window)
	}
	for {
		err := a.compute(ctx, d, q, w)
		if !errors.Is(err, table.ErrMoved) || ctx.Err() != nil {
			return err
		}
	}
}

// compute does the work for the tables as they are now. The error wraps table.ErrMoved if they changed meanwhile: then all is to be judged again.
func (a *Aggregate) compute(ctx context.Context, d *dataset.Dataset, q dataset.Query, w window.Window) error {
	piece := events.Piece{Dataset: d.Name, Name: q.Name, Window: w.Key()}
	name := table.Name{Dataset: d.Name, Table: q.Name}
	own, err := a.Tables.Head(ctx, name)
	if err != nil {
		return err
	}
	pin, err := a.taker.Take(ctx, a.Tables, d, q, w)
	if err != nil {
		return err
	}
	if !pin.Complete() && !q.Provisional {
		return nil // the calendar comes again
	}
	present, entry, err := lookup(own, w)
	if err != nil {
		return err
	}
	view, err := a.Journal.View(ctx)
	if err != nil {
		return err
	}
	if present != nil && entry.Inputs == pin.Inputs {
		if said, ok := facts.Get[events.Aggregated](view, piece); ok && said.Inputs == entry.Inputs && said.Digest == entry.Digest {
			return nil
		}
		return a.Journal.Say(ctx, fact(piece, entry, own.Snapshot))
	}
	attempt := lineage.Attempt(q, pin.Inputs)
	if stopped, ok := facts.Get[events.Stopped](view, piece); ok && stopped.Inputs == attempt && !stopped.Waiting {
		return nil
	}
	files, schema, err := a.write(ctx, pin)
	if _, ok := errors.AsType[*query.Error](err); ok {
		return a.Journal.Say(ctx, events.Stopped{
			Piece: piece, Step: events.StepAggregate, Inputs: attempt, Reason: "sql",
			Detail: err.Error() + ". Mend the text; the window is computed again by itself.",
		})
	}
	if err != nil {
		return fmt.Errorf("compute %s: %w", piece.Key(), err)
	}
	entry = entryOf(pin, files)
	snapshot, err := a.commit(ctx, pin, schema, present, entry)
	if err != nil {
		return fmt.Errorf("commit %s: %w", piece.Key(), err)
	}
	return a.Journal.Say(ctx, fact(piece, entry, snapshot))
}

func lookup(head table.Head, w window.Window) (json.RawMessage, lineage.AggregateEntry, error) {
	var entry lineage.AggregateEntry
	present := head.Entries[w.Key()]
	if present == nil {
		return nil, entry, nil
	}
	if err := json.Unmarshal(present, &entry); err != nil {
		return nil, entry, fmt.Errorf("read the map of windows: %w", err)
	}
	return present, entry, nil
}

func entryOf(pin *snapshot.Pin, files []events.File) lineage.AggregateEntry {
	e := lineage.AggregateEntry{
		Inputs: pin.Inputs, Definition: events.Digest(pin.Query.SQL), Files: files, Tables: pin.Tables(pin.Heads), Provisional: !pin.Complete(),
	}
	digests := make([]string, len(files))
	for i, f := range files {
		e.Rows += f.Rows
		digests[i] = f.Digest
	}
	e.Digest = events.Digest(digests...)
	return e
}

func fact(piece events.Piece, e lineage.AggregateEntry, snapshot int64) events.Aggregated {
	return events.Aggregated{
		Piece: piece, Inputs: e.Inputs, Tables: e.Tables, Rows: e.Rows, Files: e.Files, Digest: e.Digest, Snapshot: snapshot, Provisional: e.Provisional,
	}
}

// write runs the query and writes its result, with the start of the window as a last column.
func (a *Aggregate) write(ctx context.Context, pin *snapshot.Pin) (_ []events.File, schema *arrow.Schema, err error) {
	r, err := pin.Run(ctx, a.Tables, a.Engine, a.Log)
	if err != nil {
		return nil, nil, err
	}
	defer r.Release()
	if schema, err = snapshot.WithWindow(pin.Dataset, pin.Query, r.Schema()); err != nil {
		return nil, nil, err
	}
	// Where the lake keeps the files of a window.
	out := a.Writes.Parquet(ctx, path.Join(pin.Dataset.Name, pin.Query.Name, "data", pin.Window.Key()), schema)
	defer func() {
		if err != nil {
			err = errors.Join(err, out.Abort())
		}
	}()
	for r.Next() {
		batch := stamped(r.RecordBatch(), schema, pin.Window)
		err := out.Write(batch)
		batch.Release()
		if err != nil {
			return nil, nil, err
		}
	}
	if err := r.Err(); err != nil {
		return nil, nil, snapshot.Explain(pin.Dataset, pin.Query, err)
	}
	files, err := out.Finish()
	return files, schema, err
}

// stamped adds the column _window to a batch.
func stamped(batch arrow.RecordBatch, schema *arrow.Schema, w window.Window) arrow.RecordBatch {
	b := array.NewTimestampBuilder(memory.DefaultAllocator, arrow.FixedWidthTypes.Timestamp_us.(*arrow.TimestampType))
	defer b.Release()
	n := int(batch.NumRows())
	b.Reserve(n)
	for range n {
		b.UnsafeAppend(arrow.Timestamp(w.Start.UnixMicro()))
	}
	starts := b.NewArray()
	defer starts.Release()
	return array.NewRecordBatch(schema, append(append([]arrow.Array{}, batch.Columns()...), starts), batch.NumRows())
}

// commit makes the result visible, unless the inputs or the window itself changed since they were judged.
func (a *Aggregate) commit(ctx context.Context, pin *snapshot.Pin, schema *arrow.Schema, before json.RawMessage, entry lineage.AggregateEntry) (int64, error) {
	again, err := a.taker.Take(ctx, a.Tables, pin.Dataset, pin.Query, pin.Window)
	if err != nil {
		return 0, err
	}
	if again.Inputs != pin.Inputs {
		return 0, fmt.Errorf("inputs: %w", table.ErrMoved)
	}
	data, err := json.Marshal(entry)
	if err != nil {
		return 0, err
	}
	return a.Writes.Replace(ctx, table.Replace{
		Table: table.Name{Dataset: pin.Dataset.Name, Table: pin.Query.Name}, Schema: schema,
		Windows: []table.Content{{Window: pin.Window, Files: entry.Files, Entry: data, Done: func(now json.RawMessage) (bool, error) {
			if !bytes.Equal(now, before) {
				return false, fmt.Errorf("window: %w", table.ErrMoved)
			}
			return false, nil
		}}},
		Summary: map[string]string{"almanac.inputs": entry.Inputs, "almanac.rows": strconv.FormatInt(entry.Rows, 10)},
	})
}
