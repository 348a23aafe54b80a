package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/almanac-data/almanac/tests/internal/box"
	"github.com/almanac-data/almanac/tests/internal/gauge"
)

// rowsTopic holds the rows as records, as Kafka's own tools write and read them.
const rowsTopic = "bench.rows"

// ingest: files to Kafka by the function collect, beside Kafka's own producer; and on to Iceberg on HDFS by process, validate and store, beside Kafka's
// own consumer, which does nothing with what it reads.
func (b *bench) ingest(ctx context.Context, l layout) error {
	s, err := b.prepare(l)
	if err != nil {
		return err
	}
	in := compared{Name: "files to Kafka, " + l.name, Peer: "ProducerPerformance", Units: float64(s.rows), Unit: "rows", Goal: 3}
	on := compared{Name: "Kafka to Iceberg on HDFS, " + l.name, Peer: "ConsumerPerformance", Units: float64(s.rows), Unit: "rows", Goal: 0.5}
	for round := range b.rounds {
		progress("ingest of "+l.name, round, b.rounds)
		if err := b.ingestOnce(ctx, s, &in, &on); err != nil {
			return err
		}
	}
	for _, c := range []*compared{&in, &on} {
		for i := range c.Ours {
			c.Ours[i], c.Theirs[i] = less(c.Ours[i], c.OurStart), less(c.Theirs[i], c.TheirStart)
		}
	}
	start := gauge.Median(on.OurStart, gauge.Quantities[0].Of)
	for i := range on.Ours {
		on.Ours[i].Wall -= start
	}
	b.report.Compared = append(b.report.Compared, in, on)
	return nil
}

func (b *bench) ingestOnce(ctx context.Context, s *source, in, on *compared) error {
	if err := b.lab.empty(ctx); err != nil {
		return err
	}
	idle, err := b.collect(ctx, s, nil)
	if err != nil {
		return err
	}
	in.OurStart = append(in.OurStart, idle)
	f, err := b.collect(ctx, s, s.keys)
	if err != nil {
		return err
	}
	in.Ours = append(in.Ours, f)
	if n, err := b.lab.records(ctx, "almanac.fact.collected"); err != nil || n < int64(len(s.keys)) {
		return errors.Join(err, fmt.Errorf("%d facts say that something was collected, want %d or more", n, len(s.keys)))
	}
	for _, side := range []struct {
		c    *compared
		tool func(context.Context, int64) (gauge.Figure, error)
	}{{in, b.produce}, {on, b.consume}} {
		if side.c == on {
			// Our turn comes first: the blocks are there.
			for i, figures := range []*[]gauge.Figure{&on.Ours, &on.OurStart} {
				var more []string
				if i == 0 && b.profile != "" {
					more = []string{"--cpuprofile", b.profile}
				}
				f, err := b.store(ctx, s, more...)
				if err != nil {
					return err
				}
				*figures = append(*figures, f)
			}
		}
		if len(side.c.TheirStart) < 3 {
			if f, err = side.tool(ctx, 1); err != nil {
				return err
			}
			side.c.TheirStart = append(side.c.TheirStart, f)
		}
		if f, err = side.tool(ctx, s.rows); err != nil {
			return err
		}
		side.c.Theirs = append(side.c.Theirs, f)
	}
	_, err = b.same(ctx, s)
	return err
}

// collect starts the function, wakes it for each window, and stops it. Wall time is that from the first event to the last answer.
func (b *bench) collect(ctx context.Context, s *source, keys []string) (gauge.Figure, error) {
	variables, err := b.variables(ctx, s)
	if err != nil {
		return gauge.Figure{}, err
	}
	port, err := freePort(ctx)
	if err != nil {
		return gauge.Figure{}, err
	}
	function, err := start(append(variables, "PORT="+port), filepath.Join(b.bin, "collect"))
	if err != nil {
		return gauge.Figure{}, err
	}
	url := "http://127.0.0.1:" + port
	err = ready(ctx, url, function)
	began := time.Now()
	var g errgroup.Group
	g.SetLimit(b.inFlight)
	for _, key := range keys {
		g.Go(func() error { return wake(ctx, url, key) })
	}
	err = errors.Join(err, g.Wait())
	wall := time.Since(began)
	result := function.Stop()
	if err != nil {
		return gauge.Figure{}, fmt.Errorf("%w: %s", err, result)
	}
	f := gauge.Of(result)
	f.Wall = wall.Seconds()
	return f, nil
}

// variables are those of the cluster's file, for a function.
func (b *bench) variables(ctx context.Context, s *source) ([]string, error) {
	result, err := command(ctx, nil, filepath.Join(b.bin, "almanac"), "env", "--config", b.lab.config())
	return append(box.Lines(result.Out), "ALMANAC_DATASETS="+s.datasets, "ALMANAC_QUIET=0s", "ALMANAC_GRACE=5s"), err
}

func freePort(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, errors.Join(err, l.Close())
}

// ready waits until a function says that it is.
func ready(ctx context.Context, url string, function *box.Running) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
		if err != nil {
			return err
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return errors.New("the function is not ready within a minute")
		case <-function.Ended():
			return errors.New("the function ended")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// wake sends the event that asks for a window.
func wake(ctx context.Context, url, key string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	data, err := json.Marshal(map[string]any{"dataset": "flights", "window": key, "generation": 1, "step": "collect", "attempt": 0, "reason": "schedule"})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(string(data)))
	if err != nil {
		return err
	}
	for name, value := range map[string]string{
		"ce-specversion": "1.0", "ce-type": "dev.almanac.due.v1", "ce-source": "/almanac/calendar", "ce-subject": "flights/" + key,
		"ce-id": "due.collect/flights//" + key + "/1/0//0", "ce-dataset": "flights", "Content-Type": "application/json",
	} {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if text, err := io.ReadAll(response.Body); err != nil || response.StatusCode/100 != 2 {
		return errors.Join(err, fmt.Errorf("collect of %s: %s: %s", key, response.Status, text))
	}
	return nil
}

// store runs process, validate and store, in one process, until nothing is left to do.
func (b *bench) store(ctx context.Context, s *source, more ...string) (gauge.Figure, error) {
	args := append([]string{"run", "--no-serve", "--listen", "127.0.0.1:0", "--config", b.lab.config(), "--datasets", s.datasets}, more...)
	result, err := command(ctx, nil, filepath.Join(b.bin, "almanac"), args...)
	return gauge.Of(result), err
}

// java runs one of Kafka's tools.
func (b *bench) java(ctx context.Context, class string, args ...string) (box.Result, error) {
	jars := filepath.Join(b.cache, "jars")
	classpath := filepath.Join(jars, "peers", "*") + ":" + filepath.Join(jars, "kafka", "*")
	return command(ctx, nil, "java", append([]string{"-Xmx1g", "-cp", classpath, "org.apache.kafka.tools." + class, "--bootstrap-server", b.lab.env["KAFKA_PLAIN"], "--topic", rowsTopic}, args...)...)
}

// records: rows as records of their own, by the producer of the adapter, beside Kafka's.
func (b *bench) records(ctx context.Context) error {
	s, err := b.prepare(days)
	if err != nil {
		return err
	}
	program := filepath.Join(b.dir, "link.test")
	if _, err := command(ctx, nil, "go", "test", "-c", "-o", program, "./functions/internal/kafka/link"); err != nil {
		return err
	}
	env := []string{
		"ALMANAC_TEST_KAFKA=" + b.lab.env["KAFKA_PLAIN"], "ALMANAC_TEST_KAFKA_TOPIC=" + rowsTopic, "ALMANAC_TEST_KAFKA_ROWS=" + b.payload(),
		"ALMANAC_TEST_KAFKA_COUNT=" + strconv.FormatInt(s.rows, 10),
	}
	c := compared{Name: "rows as records to Kafka", Peer: "ProducerPerformance", Units: float64(s.rows), Unit: "rows", Goal: 0.9}
	for round := range b.rounds {
		progress(c.Name, round, b.rounds)
		if err := b.lab.topic(ctx, rowsTopic, partitions); err != nil {
			return err
		}
		result, err := command(ctx, env, program, "-test.run", "^$", "-test.bench", "^BenchmarkRows$", "-test.benchtime", "1x")
		if err != nil {
			return err
		}
		said, err := answers(result)
		if err != nil || len(said) != 1 {
			return errors.Join(err, fmt.Errorf("want one answer: %s", result))
		}
		if n, err := b.lab.records(ctx, rowsTopic); err != nil || n != s.rows {
			return errors.Join(err, fmt.Errorf("%s has %d records, want %d", rowsTopic, n, s.rows))
		}
		f := gauge.Of(result)
		f.Wall = said[0].Seconds
		c.Ours = append(c.Ours, f)
		if f, err = b.produce(ctx, s.rows); err != nil {
			return err
		}
		c.Theirs = append(c.Theirs, f)
	}
	b.report.Compared = append(b.report.Compared, c)
	return nil
}

var produced = regexp.MustCompile(`(?m)^(\d+) records sent, ([\d.]+) records/sec`)

// produce writes rows as records: as many of those in the payload file, chosen at random, as Kafka's tool does. Wall time is that from its first record
// to its last acknowledgement, as it tells.
func (b *bench) produce(ctx context.Context, rows int64) (gauge.Figure, error) {
	if err := b.lab.topic(ctx, rowsTopic, partitions); err != nil {
		return gauge.Figure{}, err
	}
	result, err := b.java(ctx, "ProducerPerformance", "--num-records", strconv.FormatInt(rows, 10), "--throughput", "-1", "--payload-file", b.payload(),
		"--reporting-interval", "600000", "--command-property", "acks=all", "compression.type=zstd", "compression.zstd.level=1", "batch.size=1000000", "linger.ms=10",
		"buffer.memory=134217728", "max.request.size=4194304")
	if err != nil {
		return gauge.Figure{}, err
	}
	n, err := b.lab.records(ctx, rowsTopic)
	if err != nil || n != rows {
		return gauge.Figure{}, errors.Join(err, fmt.Errorf("%s has %d records, want %d: %s", rowsTopic, n, rows, result))
	}
	found := produced.FindAllStringSubmatch(result.Out, -1)
	if found == nil {
		return gauge.Figure{}, fmt.Errorf("ProducerPerformance tells no rate: %s", result)
	}
	last := found[len(found)-1]
	f := gauge.Of(result)
	f.Wall, err = seconds(rows, last[2])
	return f, err
}

func seconds(rows int64, rate string) (float64, error) {
	perSecond, err := strconv.ParseFloat(rate, 64)
	return float64(rows) / perSecond, err
}

// consume reads the records. Wall time is that of fetching, as Kafka's tool tells.
func (b *bench) consume(ctx context.Context, rows int64) (gauge.Figure, error) {
	result, err := b.java(ctx, "ConsumerPerformance", "--num-records", strconv.FormatInt(rows, 10), "--timeout", "30000", "--command-property", "fetch.max.bytes=67108864",
		"max.partition.fetch.bytes=8388608", "max.poll.records=10000")
	if err != nil {
		return gauge.Figure{}, err
	}
	lines := box.Lines(result.Out)
	if len(lines) < 2 {
		return gauge.Figure{}, fmt.Errorf("ConsumerPerformance tells nothing: %s", result)
	}
	said := map[string]string{}
	values := strings.Split(lines[len(lines)-1], ",")
	for i, name := range strings.Split(lines[len(lines)-2], ",") {
		if i < len(values) {
			said[strings.TrimSpace(name)] = strings.TrimSpace(values[i])
		}
	}
	n, err := strconv.ParseInt(said["data.consumed.in.nMsg"], 10, 64)
	if err != nil || n < rows {
		return gauge.Figure{}, errors.Join(err, fmt.Errorf("ConsumerPerformance read %d records, want %d: %s", n, rows, result))
	}
	ms, err := strconv.ParseFloat(said["fetch.time.ms"], 64)
	f := gauge.Of(result)
	f.Wall = ms / 1000
	return f, err
}
