// Package snapshot pins the tables that a query sees and runs it over them. What aggregate and deliver share.
package snapshot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/lineage"
	"github.com/almanac-data/almanac/functions/internal/query"
	"github.com/almanac-data/almanac/functions/internal/query/parts"
	"github.com/almanac-data/almanac/functions/internal/table"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// Tables reads tables as they are at a snapshot.
type Tables interface {
	Head(ctx context.Context, name table.Name) (table.Head, error)
	// Files lists the data files of windows at a snapshot; the paths are relative to the warehouse.
	Files(ctx context.Context, name table.Name, snapshot int64, windows []string) ([]events.File, error)
	// URI is what an engine opens a path of the warehouse by.
	URI(path string) string
}

// Engine answers SQL.
type Engine = parts.Engine

// Pin is one window of a query over tables that are fixed, and the verdict over exactly those.
type Pin struct {
	lineage.Verdict

	Dataset *dataset.Dataset
	Query   dataset.Query
	Window  window.Window
	Heads   map[string]table.Head // of every table that the verdict needed, by name
	Known   lineage.Known
}

// Taker pins tables, and keeps what it has read of their maps for as long as they stay as they are: a map has an entry for every window.
// It is safe for concurrent use; the zero value is ready.
type Taker struct {
	mu      sync.Mutex
	dataset string
	heads   map[string]int64 // table: snapshot of what is known
	known   lineage.Known
}

// read decodes the maps of tables. What it returns must not be changed.
func (t *Taker) read(d *dataset.Dataset, heads map[string]table.Head) (lineage.Known, error) {
	at := make(map[string]int64, len(heads))
	for name, head := range heads {
		at[name] = head.Snapshot
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dataset == d.Name && maps.Equal(t.heads, at) {
		return t.known, nil
	}
	known, err := lineage.Read(heads)
	if err == nil {
		t.dataset, t.heads, t.known = d.Name, at, known
	}
	return known, err
}

// Take pins the heads of all tables that the query sees, directly or through aggregates, and judges by their maps.
// Heads are read one after the other; that they fit together is part of the verdict, since an aggregate counts only if it
// was computed from the rows of this very snapshot.
func (t *Taker) Take(ctx context.Context, tables Tables, d *dataset.Dataset, q dataset.Query, w window.Window) (*Pin, error) {
	p := &Pin{Dataset: d, Query: q, Window: w, Heads: map[string]table.Head{}}
	if err := p.pin(ctx, tables, q); err != nil {
		return nil, err
	}
	var err error
	if p.Known, err = t.read(d, p.Heads); err != nil {
		return nil, err
	}
	if p.Verdict, err = lineage.Judge(d, q, w, p.Known); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Pin) pin(ctx context.Context, tables Tables, q dataset.Query) error {
	for _, in := range q.Inputs {
		if _, ok := p.Heads[in.Table]; ok {
			continue
		}
		head, err := tables.Head(ctx, table.Name{Dataset: p.Dataset.Name, Table: in.Table})
		if err != nil {
			return err
		}
		p.Heads[in.Table] = head
		if a, ok := lineage.Aggregate(p.Dataset, in.Table); ok {
			if err := p.pin(ctx, tables, a); err != nil {
				return err
			}
		}
	}
	return nil
}

// Run answers the query over the pinned tables, in parts if that is declared: then the log tells of each. The caller releases the reader, and
// passes the reader's error through Explain.
func (p *Pin) Run(ctx context.Context, tables Tables, engine Engine, log *slog.Logger) (array.RecordReader, error) {
	q, err := Bind(ctx, engine, p.Dataset, p.Query, p.Window)
	if err != nil {
		return nil, err
	}
	for i, seen := range p.Seen {
		keys := make([]string, len(seen.Windows))
		for j, w := range seen.Windows {
			keys[j] = w.Key()
		}
		files, err := tables.Files(ctx, table.Name{Dataset: p.Dataset.Name, Table: seen.Table}, p.Heads[seen.Table].Snapshot, keys)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			q.Views[i].Files = append(q.Views[i].Files, tables.URI(f.Path))
		}
	}
	r, err := p.answer(ctx, engine, q, log)
	return r, Explain(p.Dataset, p.Query, err)
}

func (p *Pin) answer(ctx context.Context, engine Engine, q query.Query, log *slog.Logger) (array.RecordReader, error) {
	if p.Query.PartBy == "" {
		return engine.Run(ctx, q)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	log = log.With("dataset", p.Dataset.Name, "query", p.Query.Name, "window", p.Window.Key())
	return parts.Run(ctx, engine, q, parts.Bound{By: p.Query.PartBy, Rows: p.Query.PartRows}, log)
}

// Bind makes the query for a window, with views that have no files yet, one for each declared input.
func Bind(ctx context.Context, engine Engine, d *dataset.Dataset, q dataset.Query, w window.Window) (query.Query, error) {
	bound := query.Query{Text: q.SQL, Start: w.Start, End: w.End, OrderBy: q.OrderBy}
	for _, in := range q.Inputs {
		v := query.View{Name: in.Table, Column: table.Window}
		v.From, v.Until = lineage.Span(in, w)
		if in.Table == table.Rows {
			v.Column, v.Schema, v.Key = table.EventTime, RowsSchema(d), d.Key
		} else {
			a, ok := lineage.Aggregate(d, in.Table)
			if !ok {
				return bound, fmt.Errorf("%w: %s has no aggregate %q", events.ErrInvalid, d.Name, in.Table)
			}
			schema, err := AggregateSchema(ctx, engine, d, a)
			if err != nil {
				return bound, err
			}
			v.Schema = schema
		}
		bound.Views = append(bound.Views, v)
	}
	return bound, nil
}

// RowsSchema is the schema of the table of rows: the columns of the contract, then the system's.
func RowsSchema(d *dataset.Dataset) *arrow.Schema {
	fields := block.Schema(d).Fields()
	last := len(fields) - 1
	return arrow.NewSchema(append(fields[:last:last],
		arrow.Field{Name: table.EventTime, Type: arrow.FixedWidthTypes.Timestamp_us},
		arrow.Field{Name: table.CollectedAt, Type: arrow.FixedWidthTypes.Timestamp_us},
		arrow.Field{Name: table.Window, Type: arrow.FixedWidthTypes.Timestamp_us},
		arrow.Field{Name: table.Generation, Type: arrow.PrimitiveTypes.Int32},
		arrow.Field{Name: table.Slice, Type: arrow.PrimitiveTypes.Int32},
		fields[last]), nil)
}

// AggregateSchema is the schema of an aggregate's table: the columns of its SQL and the start of the window.
func AggregateSchema(ctx context.Context, engine Engine, d *dataset.Dataset, a dataset.Query) (*arrow.Schema, error) {
	q, err := Bind(ctx, engine, d, a, window.At(a.Every, d.Collect.Start))
	if err != nil {
		return nil, err
	}
	schema, err := engine.Check(ctx, q)
	if err != nil {
		return nil, Explain(d, a, err)
	}
	return WithWindow(d, a, schema)
}

// WithWindow adds the column of the window's start to the columns of an aggregate's result.
func WithWindow(d *dataset.Dataset, a dataset.Query, result *arrow.Schema) (*arrow.Schema, error) {
	if result.HasField(table.Window) {
		return nil, Explain(d, a, &query.Error{Detail: "the result has a column " + table.Window + ", which is added to it: leave it out"})
	}
	fields := append(result.Fields(), arrow.Field{Name: table.Window, Type: arrow.FixedWidthTypes.Timestamp_us})
	return arrow.NewSchema(fields, nil), nil
}

// Explain names the file of a text in an error that is a mistake of the text.
func Explain(d *dataset.Dataset, q dataset.Query, err error) error {
	if _, ok := errors.AsType[*query.Error](err); ok {
		return fmt.Errorf("%s/%s: %w", d.Name, q.File, err)
	}
	return err
}
