package spark_test

import (
	"context"
	"runtime"
	"syscall"
	"testing"

	"github.com/almanac-data/almanac/functions/internal/query"
	"github.com/almanac-data/almanac/functions/internal/query/querytest"
)

// BenchmarkStream reads a large ordered result to its end, and a small one, from a real server. Beside the time it reports how much memory the
// process has had at most, which must not grow with the rows.
func BenchmarkStream(b *testing.B) {
	e := server(b)
	view := querytest.Numbers(b, b.TempDir(), 300_007)
	for name, text := range map[string]string{
		"300 thousand rows": "SELECT i, s FROM numbers",
		"6 million rows": `SELECT i, k, s || s AS s FROM numbers
			CROSS JOIN (VALUES (1),(2),(3),(4),(5),(6),(7),(8),(9),(10),(11),(12),(13),(14),(15),(16),(17),(18),(19),(20)) AS t(k)`,
		"one row": "SELECT count(*) AS n FROM numbers",
	} {
		b.Run(name, func(b *testing.B) {
			rows := int64(0)
			peak := uint64(0)
			for b.Loop() {
				r, err := e.Run(context.Background(), query.Query{Text: text, Views: []query.View{view}})
				if err != nil {
					b.Fatal(err)
				}
				for r.Next() {
					rows += r.RecordBatch().NumRows()
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					peak = max(peak, m.HeapInuse)
				}
				if r.Err() != nil {
					b.Fatal(r.Err())
				}
				r.Release()
			}
			var u syscall.Rusage
			if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(rows)/float64(b.N), "rows/op")
			b.ReportMetric(float64(peak)/(1<<20), "peak-heap-MB")
			b.ReportMetric(float64(u.Maxrss)/(1<<10), "peak-rss-MB")
		})
	}
}
