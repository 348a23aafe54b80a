package collect

import (
	"context"
	"iter"
	"testing"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/facts/factstest"
)

// nowhere takes blocks and keeps none.
type nowhere struct{ bytes int }

func (n *nowhere) Open(context.Context, string, events.Piece) (block.Appender, error) { return n, nil }
func (n *nowhere) Read(context.Context, events.Claim) iter.Seq2[block.Block, error]   { return nil }
func (n *nowhere) Append(_ context.Context, b block.Block) error                      { n.bytes += len(b.Value); return nil }
func (n *nowhere) Claim(context.Context) (events.Claim, error)                        { return events.Claim{}, nil }
func (n *nowhere) Close()                                                             {}

func BenchmarkCollect(b *testing.B) {
	text := lines(2_000_000)
	for name, content := range map[string]string{"plain": text, "sealed": text, "gzip": gzipped(text), "a day": lines(16_000)} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b, "in.csv", map[string]string{"in.csv": content})
			if name == "sealed" {
				w.d.Columns = []dataset.Column{{Name: "who", Type: dataset.String, Classification: "personal"}}
				w.collect.Keys = &ring{fill: 1}
			}
			w.collect.SliceBytes, w.collect.BlockBytes = 0, 0
			w.collect.Blocks = new(nowhere)
			size := len(text)
			if name == "a day" {
				size = len(content)
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				w.journal = new(factstest.Memory)
				w.collect.Journal = w.journal
				w.handle(due(1, "schedule"))
			}
		})
	}
}
