package process

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/block/seal"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/facts/factstest"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// endless is a store that reads one block again and again, and forgets what is written.
type endless struct {
	block.Block

	times  int
	sealed [][]byte // the values of the blocks in its place
}

func (e endless) Open(context.Context, string, events.Piece) (block.Appender, error) {
	return sink{}, nil
}

func (e endless) Read(context.Context, events.Claim) iter.Seq2[block.Block, error] {
	return func(yield func(block.Block, error) bool) {
		for i := range e.times {
			if e.sealed != nil {
				e.Value = e.sealed[i]
			}
			if !yield(e.Block, nil) {
				return
			}
		}
	}
}

type sink struct{}

func (sink) Append(context.Context, block.Block) error   { return nil }
func (sink) Claim(context.Context) (events.Claim, error) { return events.Claim{}, nil }
func (sink) Close()                                      {}

// departures is a dataset like the flights, with some more kinds of columns.
func departures() *dataset.Dataset {
	d := readings()
	d.Name = "departures"
	d.Columns = []dataset.Column{
		{Name: "date", Type: dataset.Timestamp, Required: true, Formats: []string{time.DateTime}},
		{Name: "delay", Type: dataset.Integer, Required: true},
		{Name: "distance", Type: dataset.Integer, Required: true},
		{Name: "origin", Type: dataset.String, Required: true},
		{Name: "destination", Type: dataset.String, Required: true},
	}
	for i := range d.Columns {
		d.Columns[i].Source = d.Columns[i].Name
	}
	d.Collect.EventTime, d.Collect.Every, d.Process.Trim = "date", window.Day, true
	return d
}

// lot makes a raw block of about half a megabyte, in which one of a hundred records is wrong if bad is set.
func lot(bad bool) (data []byte, records int) {
	var b bytes.Buffer
	for at := time.Date(2001, 1, 5, 0, 0, 0, 0, time.UTC); b.Len() < 512<<10; at = at.Add(4 * time.Second) {
		delay := fmt.Sprint(records*7919%200 - 40)
		if bad && records%100 == 50 {
			delay = "late"
		}
		fmt.Fprintf(&b, "%s,%s,%d,%c%c%c,ORD\n", at.Format(time.DateTime), delay, 100+records*31%2400, 'A'+records%26, 'A'+records%7, 'X')
		records++
	}
	return b.Bytes(), records
}

// BenchmarkHandle measures a slice of 64 raw blocks: unpack, parse, clean, encode. Blocks are neither sent nor hashed.
func BenchmarkHandle(b *testing.B) {
	for name, bad := range map[string]bool{"good": false, "bad": true, "sealed": false, "sealed bad": true} {
		b.Run(name, func(b *testing.B) {
			const blocks = 64
			data, records := lot(bad)
			value, err := block.EncodeRaw(data)
			if err != nil {
				b.Fatal(err)
			}
			d := departures()
			piece := events.Piece{Dataset: d.Name, Window: "2001-01-05", Generation: 1, Slice: 1}
			store := endless{Block: block.Block{From: events.Position{Offset: 1}, Value: value}, times: blocks}
			if strings.HasPrefix(name, "sealed") {
				store.sealed = seal64(b, value, piece)
			}
			header := "date,delay,distance,origin,destination"
			b.SetBytes(int64(blocks * len(data)))
			b.ReportAllocs()
			for b.Loop() {
				journal := new(factstest.Memory)
				if err := journal.Say(b.Context(), events.Collected{Piece: piece, Definition: d.Definition, Header: header}); err != nil {
					b.Fatal(err)
				}
				p := &Process{Journal: journal, Blocks: store, Datasets: catalog{d.Name: d}, Seals: seals{fill: 1}}
				if err := p.Handle(b.Context(), &events.Collected{Piece: piece}); err != nil || len(journal.Said()) != 2 {
					b.Fatal(err, journal.Said())
				}
			}
			b.ReportMetric(float64(b.N*blocks*records)/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}

// seal64 seals a value for each block of a slice.
func seal64(b *testing.B, value []byte, piece events.Piece) (sealed [][]byte) {
	b.Helper()
	key, err := seals{fill: 1}.Key(b.Context(), piece.Dataset, piece.Window)
	if err != nil {
		b.Fatal(err)
	}
	slice, err := key.Slice(piece)
	if err != nil {
		b.Fatal(err)
	}
	for i := range 64 {
		one, err := slice.Seal(value, seal.Mark{Index: i, Last: i == 63})
		if err != nil {
			b.Fatal(err)
		}
		sealed = append(sealed, one)
	}
	return sealed
}

// TestMemoryDoesNotGrowWithTheSlice holds the heap that a slice of many blocks needs to that of a slice of few.
func TestMemoryDoesNotGrowWithTheSlice(t *testing.T) {
	data, _ := lot(true)
	value, err := block.EncodeRaw(data)
	if err != nil {
		t.Fatal(err)
	}
	d := departures()
	piece := events.Piece{Dataset: d.Name, Window: "2001-01-05", Generation: 1, Slice: 1}
	heap := func(blocks int) uint64 {
		journal := new(factstest.Memory)
		if err := journal.Say(t.Context(), events.Collected{Piece: piece, Definition: d.Definition, Header: "date,delay,distance,origin,destination"}); err != nil {
			t.Fatal(err)
		}
		store := &watched{endless: endless{Block: block.Block{From: events.Position{Offset: 1}, Value: value}, times: blocks}}
		p := &Process{Journal: journal, Blocks: store, Datasets: catalog{d.Name: d}}
		if err := p.Handle(t.Context(), &events.Collected{Piece: piece}); err != nil {
			t.Fatal(err)
		}
		return store.most
	}
	few, many := heap(4), heap(100)
	if many > few+few/4+1<<20 {
		t.Errorf("4 blocks need %d bytes of heap, 100 blocks %d", few, many)
	}
}

// watched looks at the live heap after every few blocks.
type watched struct {
	endless

	most uint64
}

func (w *watched) Read(ctx context.Context, c events.Claim) iter.Seq2[block.Block, error] {
	return func(yield func(block.Block, error) bool) {
		n := 0
		for b, err := range w.endless.Read(ctx, c) {
			if n++; n%4 == 0 {
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				w.most = max(w.most, m.HeapAlloc)
			}
			if !yield(b, err) {
				return
			}
		}
	}
}
