package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/almanac-data/almanac/tests/internal/gauge"
	"github.com/almanac-data/almanac/tests/lab/internal/connect"
)

const (
	// jsonTopic holds the rows as records of JSON, and controlTopic what the sink arranges its commits by.
	jsonTopic, controlTopic = "bench.json", "bench.control"
	// sinkFolder is the sink's warehouse on HDFS.
	sinkFolder = "/scratch/bench-connect"
	// rowSchema is that of rows for JsonConverter. With it the sink reads numbers for times, and need not parse texts.
	rowSchema = `{"type":"struct","fields":[{"field":"date","type":"int64","name":"org.apache.kafka.connect.data.Timestamp","version":1},` +
		`{"field":"delay","type":"int64"},{"field":"distance","type":"int64"},{"field":"origin","type":"string"},{"field":"destination","type":"string"}]}`
)

// connect: blocks in Kafka to Iceberg on HDFS by process, validate and store, beside rows as records of JSON that Kafka Connect's sink brings there. One worker
// does all rounds, paused in between, and one before them that does not count; so neither its start nor most of what Java compiles is measured. The start of
// its tasks is.
func (b *bench) connect(ctx context.Context) error {
	s, err := b.prepare(months)
	if err != nil {
		return err
	}
	w, err := b.worker(ctx)
	if err != nil {
		return err
	}
	c := compared{Name: "Kafka to Iceberg on HDFS, " + s.name, Peer: "Kafka Connect, Iceberg sink", Units: float64(s.rows), Unit: "rows", Goal: 5}
	err = b.alternate(ctx, s, &sink{worker: w}, &c)
	result := w.Stop()
	if err != nil {
		return fmt.Errorf("%w: %s", err, result)
	}
	start := gauge.Median(c.OurStart, gauge.Quantities[0].Of)
	for i := range c.Ours {
		c.Ours[i] = less(c.Ours[i], c.OurStart)
		c.Ours[i].Wall -= start
		c.Theirs[i].Peak = result.PeakRSS
	}
	b.report.Compared = append(b.report.Compared, c)
	_, err = b.lab.hdfs(ctx, "-rm", "-r", "-f", "-skipTrash", sinkFolder)
	return err
}

// alternate lets both sides work in turn, and holds what they have stored to the source.
func (b *bench) alternate(ctx context.Context, s *source, theirs *sink, c *compared) error {
	if _, err := b.drain(ctx, s, theirs); err != nil {
		return err
	}
	for round := range b.rounds {
		progress(c.Name+" beside "+c.Peer, round, b.rounds)
		if err := b.lab.empty(ctx); err != nil {
			return err
		}
		if _, err := b.collect(ctx, s, s.keys); err != nil {
			return err
		}
		for _, figures := range []*[]gauge.Figure{&c.Ours, &c.OurStart} { // the second time nothing is left to do
			f, err := b.store(ctx, s)
			if err != nil {
				return err
			}
			*figures = append(*figures, f)
		}
		if _, err := b.same(ctx, s); err != nil {
			return err
		}
		f, err := b.drain(ctx, s, theirs)
		if err != nil {
			return err
		}
		c.Theirs = append(c.Theirs, f)
	}
	local, err := b.download(ctx, sinkFolder)
	if err != nil {
		return err
	}
	_, err = equal(ctx, filepath.Join(local, "bench", "flights"), sums, fmt.Sprintf("%s CROSS JOIN range(%d)", s.csv(), b.rounds+1))
	return err
}

// worker starts Kafka Connect with the sink, paused, with empty topics and no table.
func (b *bench) worker(ctx context.Context) (*connect.Worker, error) {
	if _, err := b.lab.hdfs(ctx, "-rm", "-r", "-f", "-skipTrash", sinkFolder); err != nil {
		return nil, err
	}
	if err := errors.Join(b.lab.topic(ctx, jsonTopic, partitions), b.lab.topic(ctx, controlTopic, 1)); err != nil {
		return nil, err
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(b.dir, "connect-")
	if err != nil {
		return nil, err
	}
	w, err := connect.Sink{
		Name: filepath.Base(dir), Jars: filepath.Join(b.cache, "jars"), Dir: dir, Port: port,
		Brokers: b.lab.env["KAFKA_PLAIN"], Topic: jsonTopic, Control: controlTopic, Schema: rowSchema,
		Hadoop: b.lab.env["HADOOP_CONF_DIR"], User: "almanac", Warehouse: b.lab.env["HDFS_URL"] + sinkFolder, Table: "bench.flights", Partition: "month(date)",
		Tasks: b.tasks, Interval: b.interval,
	}.Start(ctx)
	if err != nil {
		return nil, err
	}
	if err := w.Pause(ctx); err != nil {
		return nil, fmt.Errorf("%w: %s", err, w.Stop())
	}
	return w, nil
}

// sink is what is known of the sink and its table.
type sink struct {
	worker  *connect.Worker
	version int   // of the table's metadata
	rows    int64 // that the table holds
}

// drain puts all rows into the topic and lets the sink bring them into its table. Time is that from its going on until a snapshot of the table holds them all.
func (b *bench) drain(ctx context.Context, s *source, k *sink) (f gauge.Figure, err error) {
	if err := b.fill(ctx, s); err != nil {
		return f, err
	}
	before, err := k.worker.CPU()
	if err != nil {
		return f, err
	}
	began := time.Now()
	if err := k.worker.Resume(ctx); err != nil {
		return f, err
	}
	if err := b.reach(ctx, k, k.rows+s.rows); err != nil {
		return f, err
	}
	f.Wall = time.Since(began).Seconds()
	after, err := k.worker.CPU()
	if err != nil {
		return f, err
	}
	f.CPU = (after - before).Seconds()
	return f, k.worker.Pause(ctx)
}

// reach follows the versions of the table's metadata until one has so many rows.
func (b *bench) reach(ctx context.Context, k *sink, rows int64) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	for looks := 1; k.rows != rows; looks++ {
		text, err := b.lab.web(ctx, fmt.Sprintf("%s/bench/flights/metadata/v%d.metadata.json", sinkFolder, k.version+1), "OPEN")
		switch {
		case errors.Is(err, fs.ErrNotExist):
			time.Sleep(50 * time.Millisecond)
			if looks%20 == 0 {
				err = k.worker.Check(ctx)
			} else {
				err = nil
			}
		case err == nil:
			k.version++
			k.rows, err = total(text)
		}
		if err == nil && k.rows > rows {
			err = errors.New("rows were stored twice")
		}
		if err != nil {
			return fmt.Errorf("version %d of the sink's table has %d rows, want %d: %w", k.version, k.rows, rows, err)
		}
	}
	return nil
}

// total is the number of rows in the current snapshot of a table, as its metadata tells.
func total(metadata string) (int64, error) {
	var m struct {
		Current   int64 `json:"current-snapshot-id"`
		Snapshots []struct {
			ID      int64             `json:"snapshot-id"`
			Summary map[string]string `json:"summary"`
		} `json:"snapshots"`
	}
	if err := json.Unmarshal([]byte(metadata), &m); err != nil {
		return 0, err
	}
	for _, s := range m.Snapshots {
		if s.ID == m.Current {
			return strconv.ParseInt(s.Summary["total-records"], 10, 64)
		}
	}
	return 0, nil // no snapshot
}

// fill adds the rows to the sink's topic, in the order of the files: runs of 8192 go to the partitions in turn.
func (b *bench) fill(ctx context.Context, s *source) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.lab.env["KAFKA_PLAIN"]), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.ZstdCompression().WithLevel(1)), kgo.ProducerBatchMaxBytes(1_000_000), kgo.MaxBufferedRecords(1<<18))
	if err != nil {
		return err
	}
	defer client.Close()
	files, err := filepath.Glob(s.glob)
	if err != nil {
		return err
	}
	var once sync.Once
	var refused error
	acknowledged := func(_ *kgo.Record, err error) {
		if err != nil {
			once.Do(func() { refused = err })
		}
	}
	n := 0
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		_, rows, _ := bytes.Cut(data, []byte("\n"))
		for line := range strings.Lines(string(rows)) {
			value, err := record(strings.TrimSpace(line))
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			client.Produce(ctx, &kgo.Record{Topic: jsonTopic, Partition: int32(n >> 13 % partitions), Value: value}, acknowledged)
			n++
		}
	}
	return errors.Join(client.Flush(ctx), refused)
}

// record is a row of the flights as JSON, of rowSchema.
func record(line string) ([]byte, error) {
	f := strings.Split(line, ",")
	if len(f) != 5 {
		return nil, fmt.Errorf("a row has %d fields, want 5: %q", len(f), line)
	}
	date, err := time.Parse(time.DateTime, f[0])
	return fmt.Appendf(nil, `{"date":%d,"delay":%s,"distance":%s,"origin":%q,"destination":%q}`, date.UnixMilli(), f[1], f[2], f[3], f[4]), err
}
