package process

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/block/blocktest"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/facts/factstest"
	"github.com/almanac-data/almanac/functions/internal/record"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// readings is a dataset of a date, a number and a text.
func readings() *dataset.Dataset {
	return &dataset.Dataset{
		Name: "readings", Version: "1.2.0", Definition: "d1",
		Columns: []dataset.Column{
			{Name: "day", Source: "day", Type: dataset.Date, Required: true, Line: 7},
			{Name: "n", Source: "n", Type: dataset.Integer, Line: 8},
			{Name: "text", Source: "text", Type: dataset.String, Line: 9},
		},
		Collect: dataset.Collect{EventTime: "day", Every: window.Month, Format: dataset.Format{Kind: "csv", Delimiter: ',', Quote: '"', Header: true}},
		Process: dataset.Process{Location: time.UTC},
	}
}

type catalog map[string]*dataset.Dataset

func (c catalog) Dataset(name string) (*dataset.Dataset, error) {
	if d, ok := c[name]; ok {
		return d, nil
	}
	return nil, fmt.Errorf("%w: no dataset %s", events.ErrInvalid, name)
}

func (c catalog) Latest(_ context.Context, name string) (*dataset.Dataset, error) {
	return c.Dataset(name)
}

// world is what one or more instances of process stand on.
type world struct {
	*testing.T

	d       *dataset.Dataset
	journal factstest.Memory
	blocks  blocktest.Memory
	piece   events.Piece
}

func newWorld(t *testing.T) *world {
	return &world{T: t, d: readings(), piece: events.Piece{Dataset: "readings", Window: "2001-01", Generation: 1, Slice: 1}}
}

func (w *world) process() *Process {
	return &Process{Journal: &w.journal, Blocks: &w.blocks, Datasets: catalog{w.d.Name: w.d}}
}

// handle lets an instance handle the collected event of the world's piece.
func (w *world) handle() error {
	return w.process().Handle(w.Context(), &events.Collected{Piece: w.piece})
}

// raw is a raw block to be.
type raw struct {
	data     string
	fragment bool
	value    []byte // instead of data as a frame
}

// collect says that the blocks are collected from the position on.
func (w *world) collect(from events.Position, header string, raws ...raw) events.Collected {
	w.Helper()
	out, err := w.blocks.Open(w.Context(), block.RawTopic(w.d.Name), w.piece)
	if err != nil {
		w.Fatal(err)
	}
	fact := events.Collected{
		Piece: w.piece, Definition: "d1", Inputs: "pin", Header: header, From: from, To: from, Last: true,
		Pin: events.Pin{Files: []events.PinnedFile{{URI: "a.csv"}, {URI: "b.csv"}}},
	}
	for i, r := range raws {
		value := r.value
		if value == nil {
			if value, err = block.EncodeRaw([]byte(r.data)); err != nil {
				w.Fatal(err)
			}
		}
		if err := out.Append(w.Context(), block.Block{Index: i, From: fact.To, Fragment: r.fragment, Value: value}); err != nil {
			w.Fatal(err)
		}
		fact.To.Offset += int64(len(r.data))
	}
	if fact.Raw, err = out.Claim(w.Context()); err != nil {
		w.Fatal(err)
	}
	if err := w.journal.Say(w.Context(), fact); err != nil {
		w.Fatal(err)
	}
	return fact
}

// file collects a whole file, cut into blocks of about the given size.
func (w *world) file(data string, size int) events.Collected {
	w.Helper()
	var raws []raw
	for len(data) > 0 {
		n := len(data)
		if size < n {
			for at := size; n == len(data) && at < len(data); at *= 2 {
				if cut := record.Cut(w.d.Collect.Format, []byte(data[:at]), false); cut > 0 {
					n = cut
				}
			}
		}
		raws = append(raws, raw{data: data[:n]})
		data = data[n:]
	}
	return w.collect(events.Position{}, "", raws...)
}

// said returns the latest fact of a type.
func said[T events.Event](w *world) (fact T) {
	for _, e := range w.journal.Said() {
		if f, ok := e.(T); ok {
			fact = f
		}
	}
	return fact
}

// processed is what the processed fact claims.
type processed struct {
	Rows, Rejects []string
	Blocks        []int // rows in each rows block
	Sheet         events.Sheet
}

func (w *world) read() processed {
	w.Helper()
	fact := said[events.Processed](w)
	p := processed{Sheet: fact.Sheet, Blocks: []int{}}
	for b, err := range w.blocks.Read(w.Context(), fact.Rows) {
		if err != nil {
			w.Fatal(err)
		}
		if b.Index != len(p.Blocks) {
			w.Errorf("rows block %d has the index %d", len(p.Blocks), b.Index)
		}
		p.Blocks = append(p.Blocks, int(b.Rows))
		p.Rows = append(p.Rows, lines(w, b, block.Schema(w.d))...)
	}
	for b, err := range w.blocks.Read(w.Context(), fact.Quarantine) {
		if err != nil {
			w.Fatal(err)
		}
		p.Rejects = append(p.Rejects, lines(w, b, block.Quarantine)...)
	}
	total := p.Sheet.Total()
	if !total.Balanced() || total.Stored != int64(len(p.Rows)) || total.Quarantined != int64(len(p.Rejects)) || fact.Rows.Rows != total.Stored {
		w.Errorf("the sheet says %+v, there are %d rows and %d refused records", total, len(p.Rows), len(p.Rejects))
	}
	return p
}

func lines(w *world, b block.Block, schema *arrow.Schema) []string {
	w.Helper()
	batch, err := block.Decode(b.Value, schema)
	if err != nil {
		w.Fatal(err)
	}
	defer batch.Release()
	all := make([]string, batch.NumRows())
	for i := range all {
		values := make([]string, batch.NumCols())
		for c, column := range batch.Columns() {
			values[c] = column.ValueStr(i)
			if binary, ok := column.(*array.Binary); ok {
				values[c] = string(binary.Value(i))
			}
		}
		all[i] = strings.Join(values, "|")
	}
	return all
}
