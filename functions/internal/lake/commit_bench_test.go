package lake_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/lake/laketest"
)

// BenchmarkCommits makes many commits (LAKE_COMMITS, by default 200) on one table and tells what the last ones cost.
func BenchmarkCommits(b *testing.B) {
	n, err := strconv.Atoi(os.Getenv("LAKE_COMMITS"))
	if err != nil {
		n = 200
	}
	for range b.N {
		l := open(b, b.TempDir())
		var last time.Duration
		for i := range n {
			day := laketest.Day(i)
			files := laketest.Write(b, l, day, i, 10)
			r := laketest.Replacing(day, entry(i), files...)
			start := time.Now()
			laketest.MustReplace(b, l, r)
			if i >= n-50 {
				last += time.Since(start)
			}
		}
		b.ReportMetric(float64(last.Microseconds())/50/1000, "ms/commit-at-end")
		start := time.Now()
		head := laketest.MustHead(b, l)
		b.ReportMetric(float64(time.Since(start).Microseconds())/1000, "ms/head")
		start = time.Now()
		if files, err := l.Files(b.Context(), laketest.Rows, head.Snapshot, []string{laketest.Day(n / 2).Key()}); err != nil || len(files) != 1 {
			b.Fatal(files, err)
		}
		b.ReportMetric(float64(time.Since(start).Microseconds())/1000, "ms/files-of-one")
		var all []string
		for key := range head.Entries {
			all = append(all, key)
		}
		start = time.Now()
		if files, err := l.Files(b.Context(), laketest.Rows, head.Snapshot, all); err != nil || len(files) != n {
			b.Fatal(len(files), err)
		}
		b.ReportMetric(float64(time.Since(start).Microseconds())/1000, "ms/files-of-all")
		start = time.Now()
		laketest.MustReplace(b, l, laketest.Replacing(laketest.Day(n/2), entry(1), laketest.Write(b, l, laketest.Day(n/2), n, 10)...))
		b.ReportMetric(float64(time.Since(start).Microseconds())/1000, "ms/restatement")
		fresh := open(b, l.URI("."))
		start = time.Now()
		laketest.MustHead(b, fresh)
		b.ReportMetric(float64(time.Since(start).Microseconds())/1000, "ms/first-head")
	}
}

// entry is as large as those of a rows table.
func entry(i int) json.RawMessage {
	digest := events.Digest(strconv.Itoa(i))
	e := events.Entry{Generation: 1, Definition: events.Digest("d"), Digest: digest, Slices: 1,
		Pin:   events.Pin{Files: []events.PinnedFile{{URI: fmt.Sprintf("sample/2001-01/%d.csv.gz", i), Bytes: int64(i), Digest: events.Digest("x", digest), Version: digest[:8]}}},
		Sheet: events.Sheet{laketest.Day(i).Key(): {Read: 16000, Stored: 16000, Hash: digest[:16]}}}
	data, err := json.Marshal(e)
	if err != nil {
		return nil
	}
	return data
}
