package validate

import (
	"context"
	"fmt"
	"iter"
	"testing"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/facts/factstest"
)

// sink reads the blocks of a slice, without looking at their digest, and keeps none that are written.
type sink map[string][]block.Block

func (sink) Open(context.Context, string, events.Piece) (block.Appender, error) { return sink{}, nil }
func (sink) Append(context.Context, block.Block) error                          { return nil }
func (sink) Claim(context.Context) (events.Claim, error)                        { return events.Claim{}, nil }
func (sink) Close()                                                             {}

func (s sink) Read(_ context.Context, c events.Claim) iter.Seq2[block.Block, error] {
	return func(yield func(block.Block, error) bool) {
		for _, b := range s[c.Topic] {
			if !yield(b, nil) {
				return
			}
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	const blocks, rows = 20, 15_000
	for name, every := range map[string]int{"good": rows * blocks, "1 percent bad": 100} {
		b.Run(name, func(b *testing.B) {
			var all []raw
			for i := range blocks {
				list := make([]string, rows)
				for n := range list {
					delay := n % 100
					if (i*rows+n+1)%every == 0 && name != "good" {
						delay = 5000
					}
					list[n] = fmt.Sprintf("2001-01-05T10:%02d:00Z,%d,%s\n", n%60, delay, []string{"ABC", "XYZ", "ORD"}[n%3])
				}
				all = append(all, records(list...))
			}
			w := newWorld(b, "", all...)
			kept := sink{}
			for _, c := range []events.Claim{w.collected.Raw, w.processed.Rows} {
				for one, err := range w.blocks.Read(ctx, c) {
					w.must(err)
					kept[c.Topic] = append(kept[c.Topic], one)
				}
			}
			w.validate.Blocks = kept
			b.ReportAllocs()
			for b.Loop() {
				w.journal = new(factstest.Memory)
				w.must(w.journal.Say(ctx, w.collected, w.processed))
				w.validate.Journal = w.journal
				if err := w.validate.Handle(ctx, &w.processed); err != nil {
					b.Fatal(err)
				}
				if _, ok := w.journal.Said()[2].(events.Validated); !ok {
					b.Fatal("no fact")
				}
			}
			b.ReportMetric(float64(b.N)*blocks*rows/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}
