// Package connect runs a worker of Kafka Connect with Iceberg's sink.
package connect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/almanac-data/almanac/tests/internal/box"
	"github.com/almanac-data/almanac/tests/lab/internal/proc"
)

// Sink is a connector that brings the records of a topic, rows as JSON, into a table on HDFS, which it makes.
type Sink struct {
	// Name of the connector, after which the groups of its consumers are named. It must be new: a group that was used in the last minute may have members that died, and until
	// they are given up the sink's coordinator misses what tasks write, which is then never committed (seen with 1.12.0).
	Name string
	Jars string // folder of the groups connect and sink
	Dir  string // folder for the worker, which is made
	Port string // of 127.0.0.1, for the worker's API

	Brokers   string
	Topic     string // with the rows
	Control   string // topic in which the sink arranges its commits; it must be there
	Schema    string // of the records' values, as schema.content of JsonConverter takes it
	Hadoop    string // folder of the configuration of Hadoop's clients
	User      string // in HDFS
	Warehouse string // URI of the folder of a Hadoop catalog
	Table     string // namespace.name
	Partition string // field of the partition spec, such as month(date)
	Tasks     int
	Interval  time.Duration // between commits
}

const logging = `rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
appender.console.type=Console
appender.console.name=console
appender.console.target=SYSTEM_ERR
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=[%d] %p %m (%c)%n
`

// worker is its configuration. The consumer takes as much at once as that of Kafka's performance tool does in the benchmark.
func (s Sink) worker() map[string]string {
	return map[string]string{
		"bootstrap.servers":              s.Brokers,
		"listeners":                      "http://127.0.0.1:" + s.Port,
		"plugin.path":                    filepath.Join(s.Dir, "plugins"),
		"plugin.discovery":               "service_load",
		"offset.storage.file.filename":   filepath.Join(s.Dir, "offsets"),
		"key.converter":                  "org.apache.kafka.connect.storage.StringConverter",
		"value.converter":                "org.apache.kafka.connect.json.JsonConverter",
		"value.converter.schemas.enable": "true",
		"value.converter.schema.content": s.Schema,

		"consumer.max.poll.records":          "10000",
		"consumer.fetch.max.bytes":           "67108864",
		"consumer.max.partition.fetch.bytes": "8388608",
		// Where no more records come, a task hears of a commit only when this has passed.
		"offset.flush.interval.ms": strconv.FormatInt(s.Interval.Milliseconds(), 10),
	}
}

func (s Sink) connector() map[string]string {
	return map[string]string{
		"name":                                s.Name,
		"connector.class":                     "org.apache.iceberg.connect.IcebergSinkConnector",
		"tasks.max":                           strconv.Itoa(s.Tasks),
		"topics":                              s.Topic,
		"iceberg.tables":                      s.Table,
		"iceberg.tables.auto-create-enabled":  "true",
		"iceberg.tables.default-partition-by": s.Partition,
		"iceberg.control.topic":               s.Control,
		"iceberg.control.commit.interval-ms":  strconv.FormatInt(s.Interval.Milliseconds(), 10),
		"iceberg.catalog":                     "lab",
		"iceberg.catalog.type":                "hadoop",
		"iceberg.catalog.warehouse":           s.Warehouse,
		"iceberg.hadoop-conf-dir":             s.Hadoop,
	}
}

// properties writes a file as Java's Properties read it. No value may hold a backslash or a line's end.
func properties(file string, values map[string]string) error {
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(&text, "%s=%s\n", key, values[key])
	}
	return os.WriteFile(file, []byte(text.String()), 0o600)
}

// Worker is one that runs.
type Worker struct {
	running *box.Running
	url     string // of the connector
	tasks   int
}

// Start starts a worker, with as much memory as Kafka's own script gives it, and waits until the sink runs.
func (s Sink) Start(ctx context.Context) (*Worker, error) {
	plugins := filepath.Join(s.Dir, "plugins")
	if err := os.MkdirAll(plugins, 0o755); err != nil {
		return nil, err
	}
	err := errors.Join(
		os.Symlink(filepath.Join(s.Jars, "sink"), filepath.Join(plugins, "iceberg")),
		properties(filepath.Join(s.Dir, "worker.properties"), s.worker()),
		properties(filepath.Join(s.Dir, "sink.properties"), s.connector()),
		os.WriteFile(filepath.Join(s.Dir, "log4j2.properties"), []byte(logging), 0o600),
	)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("java", "-Xms256M", "-Xmx2G", "-cp", s.Dir+":"+filepath.Join(s.Jars, "connect", "*"),
		"org.apache.kafka.connect.cli.ConnectStandalone", "worker.properties", "sink.properties")
	cmd.Dir, cmd.Env = s.Dir, append(os.Environ(), "HADOOP_USER_NAME="+s.User)
	w := &Worker{url: "http://127.0.0.1:" + s.Port + "/connectors/" + s.Name, tasks: s.Tasks}
	if w.running, err = box.Start(cmd); err != nil {
		return nil, err
	}
	if err := w.await(ctx, "RUNNING"); err != nil {
		return nil, fmt.Errorf("%w: %s", err, w.Stop())
	}
	return w, nil
}

// Pause makes the sink read no more, and waits until it does not.
func (w *Worker) Pause(ctx context.Context) error {
	return errors.Join(w.ask(ctx, http.MethodPut, "/pause", nil), w.await(ctx, "PAUSED"))
}

// Resume makes the sink go on, and does not wait for it. The worker starts the sink's tasks anew.
func (w *Worker) Resume(ctx context.Context) error { return w.ask(ctx, http.MethodPut, "/resume", nil) }

// CPU is what the worker has used so far.
func (w *Worker) CPU() (time.Duration, error) { return proc.CPU(w.running.PID()) }

// Stop ends the worker.
func (w *Worker) Stop() box.Result { return w.running.Stop() }

// Check gives an error if the worker has ended or one of its tasks has failed.
func (w *Worker) Check(ctx context.Context) error {
	_, err := w.states(ctx)
	return err
}

// states are those of the connector and of its tasks.
func (w *Worker) states(ctx context.Context) ([]string, error) {
	select {
	case <-w.running.Ended():
		return nil, fmt.Errorf("the worker ended: %s", w.running.Result())
	default:
	}
	var status struct {
		Connector part   `json:"connector"`
		Tasks     []part `json:"tasks"`
	}
	if err := w.ask(ctx, http.MethodGet, "/status", &status); err != nil {
		return nil, err
	}
	var states []string
	for _, p := range append(status.Tasks, status.Connector) {
		if p.State == "FAILED" {
			return nil, fmt.Errorf("the sink failed: %s", p.Trace)
		}
		states = append(states, p.State)
	}
	return states, nil
}

// part is a connector or a task, as the worker's API tells of it.
type part struct {
	State string `json:"state"`
	Trace string `json:"trace"`
}

// await waits until the connector and all tasks are in a state.
func (w *Worker) await(ctx context.Context, state string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		states, err := w.states(ctx)
		if err != nil && !errors.Is(err, errUnready) {
			return err
		}
		if len(states) == w.tasks+1 && !slices.ContainsFunc(states, func(s string) bool { return s != state }) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the sink is not %s within two minutes: its states are %s; %w", state, states, errors.Join(ctx.Err(), err))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// errUnready is for a worker that starts: nobody listens, or the connector is not known yet.
var errUnready = errors.New("not there yet")

// ask sends a request about the connector.
func (w *Worker) ask(ctx context.Context, method, path string, into any) error {
	request, err := http.NewRequestWithContext(ctx, method, w.url+path, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnready, err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return err
	case response.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%w: %s", errUnready, text)
	case response.StatusCode/100 != 2:
		return fmt.Errorf("%s %s: %s: %s", method, path, response.Status, text)
	case into == nil:
		return nil
	}
	return json.Unmarshal(text, into)
}
