package parse

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/window"
)

var airports = []string{"ATL", "ORD", "DFW", "LAX", "PHX", "STL", "DTW", "MSP", "LAS", "DEN", "IAH", "CLT", "SFO", "PHL", "EWR", "LGA", "BOS", "SEA", "PIT", "SLC"}

// sample makes records of flights, sorted by time as the real ones are.
func sample(n int, form string) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	at := time.Date(2001, 1, 5, 0, 0, 0, 0, time.UTC)
	for range n {
		at = at.Add(time.Duration(r.IntN(10)) * time.Second)
		fmt.Fprintf(&b, form, at.Format(time.DateTime), r.IntN(40)*r.IntN(5)-10, 100+r.IntN(2400), airports[r.IntN(len(airports))], airports[r.IntN(len(airports))])
	}
	return b.Bytes()
}

func BenchmarkBlock(b *testing.B) {
	const n = 15000
	for name, c := range map[string]struct{ kind, form string }{
		"csv":        {"csv", "%s,%d,%d,%s,%s\n"},
		"csv quoted": {"csv", "\"%s\",\"%d\",\"%d\",\"%s\",\"%s\"\n"},
		"ndjson":     {"ndjson", "{\"date\":\"%s\",\"delay\":%d,\"distance\":%d,\"origin\":\"%s\",\"destination\":\"%s\"}\n"},
	} {
		data := sample(n, c.form)
		d := flights()
		d.Process.Trim = true
		d.Collect.Format.Kind = c.kind
		w, _ := window.Parse("2001-01-05")
		for _, encode := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/encode=%v", name, encode), func(b *testing.B) {
				p, err := New(d, w, nil)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(len(data)))
				b.ReportAllocs()
				for b.Loop() {
					batch, err := p.Block(b.Context(), data, 0, func(r Reject) error { return fmt.Errorf("%+v", r) })
					if err != nil || batch.NumRows() != n {
						b.Fatal(batch.NumRows(), err)
					}
					if encode {
						if _, err := block.Encode(batch); err != nil {
							b.Fatal(err)
						}
					}
					batch.Release()
				}
				b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds()/1e6, "Mrows/s")
			})
		}
	}
}
