package kafka

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/kafka/kafkatest"
)

// onDisk starts a broker that keeps its logs in a folder, as `almanac run` does.
func onDisk(b *testing.B, compression string) *Cluster {
	b.Helper()
	if lab := kafkatest.Running(b); lab != nil {
		return connectReal(b, lab)
	}
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.DataDir(b.TempDir()), kfake.BrokerConfigs(map[string]string{"log.segment.bytes": "16777216"}))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(fake.Close)
	c, err := Open(b.Context(), Config{Brokers: fake.ListenAddrs(), Compression: compression, Now: func() time.Time { return noon }})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	if err := c.EnsureTopics(b.Context(), events.FactTopics(), events.DueTopics(), block.Topics("flights")); err != nil {
		b.Fatal(err)
	}
	return c
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// values are blocks to be written: random bytes, as zstd frames are, or Arrow batches like those of flights.
func values(b *testing.B, kind string, n int) [][]byte {
	b.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	out := make([][]byte, n)
	for i := range out {
		if kind == "raw" {
			v := make([]byte, 128<<10)
			for j := range v {
				v[j] = byte(rng.Uint32())
			}
			out[i] = v
			continue
		}
		out[i] = flights(b, rng, 12_000)
	}
	return out
}

func flights(b *testing.B, rng *rand.Rand, rows int) []byte {
	b.Helper()
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "date", Type: arrow.FixedWidthTypes.Timestamp_us}, {Name: "delay", Type: arrow.PrimitiveTypes.Int64}, {Name: "distance", Type: arrow.PrimitiveTypes.Int64},
		{Name: "origin", Type: arrow.BinaryTypes.String}, {Name: "destination", Type: arrow.BinaryTypes.String}, {Name: block.Ordinal, Type: arrow.PrimitiveTypes.Int64},
	}, nil)
	rb := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer rb.Release()
	airports := make([]string, 229)
	for i := range airports {
		airports[i] = fmt.Sprintf("%c%c%c", 'A'+i%26, 'A'+i/26, 'A'+(i*7)%26)
	}
	for i := range rows {
		rb.Field(0).(*array.TimestampBuilder).Append(arrow.Timestamp(noon.UnixMicro() + int64(i/3)*60_000_000))
		rb.Field(1).(*array.Int64Builder).Append(int64(rng.NormFloat64()*30 + 5))
		rb.Field(2).(*array.Int64Builder).Append(int64(rng.IntN(2500)))
		rb.Field(3).(*array.StringBuilder).Append(airports[rng.IntN(229)])
		rb.Field(4).(*array.StringBuilder).Append(airports[rng.IntN(229)])
		rb.Field(5).(*array.Int64Builder).Append(int64(i))
	}
	batch := rb.NewRecordBatch()
	defer batch.Release()
	v, err := block.Encode(batch)
	if err != nil {
		b.Fatal(err)
	}
	return v
}

func BenchmarkView(b *testing.B) {
	c := onDisk(b, "none")
	j, err := c.Journal(b.Context(), "bench")
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	for day := range 1000 {
		if err := j.Say(b.Context(), events.Collected{Piece: piece(day)}); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("of nothing new", func(b *testing.B) {
		for b.Loop() {
			if _, err := j.View(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("of nothing new, 8 at once", func(b *testing.B) {
		b.SetParallelism(4)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := j.View(b.Context()); err != nil {
					b.Error(err)
				}
			}
		})
	})
	b.Run("after a fact", func(b *testing.B) {
		for b.Loop() {
			if err := j.Say(b.Context(), events.Collected{Piece: piece(1)}); err != nil {
				b.Fatal(err)
			}
			if _, err := j.View(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkBlocks(b *testing.B) {
	for _, bb := range []struct{ topic, kind, compression string }{
		{block.RawTopic("flights"), "raw", "none"}, {block.ProcessedTopic("flights"), "arrow", "none"},
		{block.ProcessedTopic("flights"), "arrow", "lz4"}, {block.ProcessedTopic("flights"), "arrow", "zstd"},
	} {
		b.Run(bb.kind+" "+bb.compression, func(b *testing.B) {
			c := onDisk(b, bb.compression)
			vs := values(b, bb.kind, 128)
			var claims []events.Claim
			var bytesOut int64
			per := func(b *testing.B, start time.Duration) {
				b.ReportMetric(float64((cpu()-start).Milliseconds())/(float64(bytesOut)/1e9), "cpu-ms/GB")
				b.ReportMetric(float64(bytesOut)/1e6/b.Elapsed().Seconds(), "MB/s")
			}
			b.Run("write", func(b *testing.B) {
				start, n := cpu(), 0
				bytesOut = 0
				for b.Loop() {
					a, err := c.Blocks().Open(b.Context(), bb.topic, piece(n))
					if err != nil {
						b.Fatal(err)
					}
					for i, v := range vs {
						if err := a.Append(b.Context(), block.Block{Index: i, Value: v}); err != nil {
							b.Fatal(err)
						}
					}
					claim, err := a.Claim(b.Context())
					if err != nil {
						b.Fatal(err)
					}
					claims, bytesOut, n = append(claims, claim), bytesOut+claim.Bytes, n+1
				}
				per(b, start)
			})
			b.Run("read", func(b *testing.B) {
				start, n := cpu(), 0
				bytesOut = 0
				for b.Loop() {
					claim := claims[n%len(claims)]
					for blk, err := range c.Blocks().Read(b.Context(), claim) {
						if err != nil {
							b.Fatal(err)
						}
						bytesOut += int64(len(blk.Value))
					}
					n++
				}
				per(b, start)
			})
		})
	}
}

// BenchmarkClientPerRead is what a read costs when it makes a client of its own, for comparison with Blocks.Read of a small claim.
func BenchmarkClientPerRead(b *testing.B) {
	c := onDisk(b, "none")
	a, err := c.Blocks().Open(b.Context(), block.RawTopic("flights"), piece(0))
	if err != nil {
		b.Fatal(err)
	}
	if err := a.Append(b.Context(), block.Block{Value: bytes.Repeat([]byte("x"), 1000)}); err != nil {
		b.Fatal(err)
	}
	claim, err := a.Claim(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("pooled", func(b *testing.B) {
		for b.Loop() {
			for _, err := range c.Blocks().Read(b.Context(), claim) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("own client", func(b *testing.B) {
		for b.Loop() {
			cl, err := c.Client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{claim.Topic: {claim.Partition: kgo.NewOffset().At(claim.From)}}))
			if err != nil {
				b.Fatal(err)
			}
			if f := cl.PollFetches(b.Context()); f.Err() != nil || f.NumRecords() != 1 {
				b.Fatal(f.Err())
			}
			cl.Close()
		}
	})
}
