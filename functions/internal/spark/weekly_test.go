package spark_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"math"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/almanac-data/almanac/functions/internal/query"
)

// asked is one query of the file that ALMANAC_TEST_SPARK_QUERIES names, and what its view rows of the flights is made of.
type asked struct {
	Text    string    `json:"text"`
	Start   time.Time `json:"start"`
	End     time.Time `json:"end"`
	From    time.Time `json:"from"` // of the rows that the view holds, until the end
	Files   []string  `json:"files"`
	OrderBy []string  `json:"order_by"`
}

// answered is what one query took, and a digest of the cells of its result.
type answered struct {
	Seconds float64 `json:"seconds"`
	Rows    int64   `json:"rows"`
	Digest  string  `json:"digest"`
}

// BenchmarkWeekly answers each query of a file, after the first of them once for warmth, and prints what each took as a line of JSON.
// tests/lab/bench runs it beside Spark's own client, which prints the same digests.
func BenchmarkWeekly(b *testing.B) {
	name := os.Getenv("ALMANAC_TEST_SPARK_QUERIES")
	if name == "" {
		b.Skip("set ALMANAC_TEST_SPARK_QUERIES to a file of queries; make bench-lab does")
	}
	e := server(b)
	text, err := os.ReadFile(name)
	if err != nil {
		b.Fatal(err)
	}
	var all []asked
	if err := json.Unmarshal(text, &all); err != nil {
		b.Fatal(err)
	}
	for i, q := range append(all[:1:1], all...) {
		began := time.Now()
		batches := result(b, func() (array.RecordReader, error) { return e.Run(context.Background(), q.query()) })
		a := answered{Seconds: time.Since(began).Seconds(), Digest: cells(batches)}
		for _, batch := range batches {
			a.Rows += batch.NumRows()
			batch.Release()
		}
		line, err := json.Marshal(a)
		if err != nil {
			b.Fatal(err)
		}
		if i > 0 {
			fmt.Printf("answer %s\n", line)
		}
	}
}

func (q asked) query() query.Query {
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "date", Type: arrow.FixedWidthTypes.Timestamp_us}, {Name: "delay", Type: arrow.PrimitiveTypes.Int64}, {Name: "distance", Type: arrow.PrimitiveTypes.Int64},
		{Name: "origin", Type: arrow.BinaryTypes.String}, {Name: "destination", Type: arrow.BinaryTypes.String},
	}, nil)
	return query.Query{Text: q.Text, Start: q.Start, End: q.End, OrderBy: q.OrderBy, Views: []query.View{
		{Name: "rows", Schema: schema, Files: q.Files, Column: "date", From: q.From, Until: q.End},
	}}
}

// result reads a result whole.
func result(b *testing.B, run func() (array.RecordReader, error)) (all []arrow.RecordBatch) {
	b.Helper()
	r, err := run()
	if err != nil {
		b.Fatal(err)
	}
	defer r.Release()
	for r.Next() {
		batch := r.RecordBatch()
		batch.Retain()
		all = append(all, batch)
	}
	if r.Err() != nil {
		b.Fatal(r.Err())
	}
	return all
}

// cells is the digest of all columns, one after another: each value as text, a float as the hexadecimal of its bits, each ended by a zero.
func cells(batches []arrow.RecordBatch) string {
	h := sha256.New()
	if len(batches) > 0 {
		for c := range batches[0].NumCols() {
			for _, batch := range batches {
				column(h, batch.Column(int(c)))
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

func column(h hash.Hash, c arrow.Array) {
	for i := range c.Len() {
		value := "null"
		if c.IsValid(i) {
			switch c := c.(type) {
			case *array.Float64:
				value = strconv.FormatUint(math.Float64bits(c.Value(i)), 16)
			default:
				value = c.ValueStr(i)
			}
		}
		h.Write([]byte(value + "\x00"))
	}
}
