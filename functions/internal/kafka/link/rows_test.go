package link_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/almanac-data/almanac/functions/internal/kafka/link"
)

// BenchmarkRows writes rows as records of their own: as many of the lines of a file, chosen at random, as Kafka's ProducerPerformance does, by
// its settings, and prints what it took from the first record to the last acknowledgement as a line of JSON. tests/lab/bench runs it beside that.
func BenchmarkRows(b *testing.B) {
	broker, topic, name := os.Getenv("ALMANAC_TEST_KAFKA"), os.Getenv("ALMANAC_TEST_KAFKA_TOPIC"), os.Getenv("ALMANAC_TEST_KAFKA_ROWS")
	if broker == "" {
		b.Skip("set ALMANAC_TEST_KAFKA=host:port, ALMANAC_TEST_KAFKA_TOPIC to a topic with 4 partitions and ALMANAC_TEST_KAFKA_ROWS to a file; make bench-lab does")
	}
	count, err := strconv.Atoi(os.Getenv("ALMANAC_TEST_KAFKA_COUNT"))
	if err != nil {
		b.Fatal(err)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		b.Fatal(err)
	}
	lines := slices.Collect(bytes.Lines(data))
	c, err := link.Open(b.Context(), link.Config{Brokers: []string{broker}, Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	cl, err := c.Client(kgo.ProducerBatchCompression(kgo.ZstdCompression().WithLevel(1)), kgo.ProducerBatchMaxBytes(1_000_000), kgo.ProducerLinger(10*time.Millisecond),
		kgo.MaxBufferedRecords(1<<20), kgo.MaxBufferedBytes(128<<20))
	if err != nil {
		b.Fatal(err)
	}
	defer cl.Close()
	var once sync.Once
	acknowledged := func(_ *kgo.Record, err error) {
		if err != nil {
			once.Do(func() { b.Error(err) })
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	began := time.Now()
	for i := range count {
		line := lines[rng.IntN(len(lines))]
		cl.Produce(context.Background(), &kgo.Record{Topic: topic, Partition: int32(i >> 13 & 3), Value: line[:len(line)-1]}, acknowledged)
	}
	if err := cl.Flush(context.Background()); err != nil {
		b.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{"seconds": time.Since(began).Seconds(), "rows": count})
	if err != nil {
		b.Fatal(err)
	}
	fmt.Printf("answer %s\n", text)
}
