package duck_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/duckdb/duckdb-go/v2/mapping"

	"github.com/almanac-data/almanac/functions/internal/duck"
	"github.com/almanac-data/almanac/functions/internal/query"
)

const weekly = `SELECT origin, date_trunc('week', date) AS week, count(*) AS flights, CAST(sum(delay) AS BIGINT) AS delay_sum,
	CAST(sum(delay * delay) AS BIGINT) AS square_sum, percentile_disc(0.9) WITHIN GROUP (ORDER BY delay) AS p90
	FROM rows GROUP BY origin, date_trunc('week', date)`

// flat makes a Parquet file of three million flights, with the timestamp as tables have it and as DuckDB likes it best.
func flat(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "flights.parquet")
	bare(b, `COPY (SELECT make_timestamp(978307200000000 + i * 5200000) AS plain, make_timestamp(978307200000000 + i * 5200000) AT TIME ZONE 'UTC' AS date,
		CAST(hash(i) % 200 AS BIGINT) - 30 AS delay, chr(65 + CAST(hash(i + 1) % 26 AS INTEGER)) || 'AA' AS origin
		FROM range(3000000) AS r(i)) TO '`+path+`' (FORMAT parquet, COMPRESSION zstd)`)
	return path
}

// bare runs SQL with nothing of ours but the binding to C, and returns the number of rows.
func bare(b *testing.B, sql string) (n int) {
	b.Helper()
	var db mapping.Database
	var conn mapping.Connection
	var res mapping.Result
	mapping.Open(":memory:", &db)
	defer mapping.Close(&db)
	mapping.Connect(db, &conn)
	defer mapping.Disconnect(&conn)
	defer mapping.DestroyResult(&res)
	if mapping.Query(conn, sql, &res) == mapping.StateError {
		b.Fatal(mapping.ResultError(&res))
	}
	for chunk := mapping.FetchChunk(res); chunk.Ptr != nil; chunk = mapping.FetchChunk(res) {
		n += int(mapping.DataChunkGetSize(chunk))
		mapping.DestroyDataChunk(&chunk)
	}
	return n
}

// cpu reports the CPU time of one operation, which a busy machine disturbs less than the wall's.
func cpu(b *testing.B) (report func()) {
	b.Helper()
	spent := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := spent()
	return func() { b.ReportMetric(float64((spent()-before).Milliseconds())/float64(b.N), "cpu-ms/op") }
}

// BenchmarkWeekly compares a weekly aggregate of three million rows through Run, opening the engine included, with DuckDB's own.
func BenchmarkWeekly(b *testing.B) {
	path := flat(b)
	if _, err := os.Stat(path); err != nil {
		b.Fatal(err)
	}
	view := query.View{
		Name: "rows", Files: []string{path}, Column: "date", From: time.Unix(0, 0), Until: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
		Schema: arrow.NewSchema([]arrow.Field{
			{Name: "date", Type: arrow.FixedWidthTypes.Timestamp_us}, {Name: "delay", Type: arrow.PrimitiveTypes.Int64},
			{Name: "origin", Type: arrow.BinaryTypes.String},
		}, nil),
	}
	b.Run("duckdb", func(b *testing.B) {
		defer cpu(b)()
		for b.Loop() {
			bare(b, fmt.Sprintf("WITH rows AS (SELECT plain AS date, delay, origin FROM read_parquet('%s')) %s ORDER BY origin, week", path, weekly))
		}
	})
	b.Run("engine", func(b *testing.B) {
		defer cpu(b)()
		for b.Loop() {
			e, err := duck.Open(duck.Options{})
			if err != nil {
				b.Fatal(err)
			}
			r, err := e.Run(context.Background(), query.Query{Text: weekly, Views: []query.View{view}, OrderBy: []string{"origin", "week"}})
			if err != nil {
				b.Fatal(err)
			}
			for r.Next() {
			}
			r.Release()
			e.Close()
		}
	})
}
