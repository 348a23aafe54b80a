package onebox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Broker is an embedded broker that speaks Kafka's protocol on a loopback port and keeps its logs in a folder.
// Close stops it.
type Broker struct {
	cluster *kfake.Cluster
	clean   string
	stop    chan struct{}
	wg      sync.WaitGroup
}

// BrokerConfig says where an embedded broker keeps its logs and how it is reached.
type BrokerConfig struct {
	Dir  string // of its own
	Port int    // 0 for any free one
	// Sync writes each batch through to the disk before it is acknowledged. Without it kill -9 loses nothing, but a
	// power failure may lose what was acknowledged last.
	Sync bool
	// Expire is how often what is past its retention is deleted; 0 means each hour.
	Expire time.Duration
	Log    *slog.Logger
}

// settings of the embedded broker, besides those of its topics.
var settings = map[string]string{
	// kfake compacts by deleting a log and writing it again: kill -9 in between would lose every fact. Facts are
	// some megabytes a year, so the log is left as it is; expiry is started by the Broker.
	"log.cleaner.backoff.ms": strconv.FormatInt((100 * 365 * 24 * time.Hour).Milliseconds(), 10),
	// What is trimmed is deleted by whole segments, and a log is read into memory by segments when the broker starts.
	"log.segment.bytes": strconv.Itoa(16 << 20),
	// Offsets of sources never expire.
	"offsets.retention.minutes": strconv.Itoa(1<<31 - 1),
}

// StartBroker starts the broker on what the folder holds. After a kill the torn end of a log is cut off: records that were
// acknowledged are kept.
func StartBroker(cfg BrokerConfig) (*Broker, error) {
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("start broker: %w", err)
	}
	b := &Broker{clean: filepath.Join(cfg.Dir, "stopped"), stop: make(chan struct{})}
	if err := prepare(cfg.Dir, b.clean); err != nil {
		return nil, fmt.Errorf("start broker: %w", err)
	}
	opts := []kfake.Opt{
		kfake.Ports(cfg.Port), kfake.ClusterID("almanac-" + "one-box"), kfake.DataDir(cfg.Dir), kfake.BrokerConfigs(settings),
		kfake.WithLogger(logger{cfg.Log}),
	}
	if cfg.Sync {
		opts = append(opts, kfake.SyncWrites())
	}
	cluster, err := kfake.NewCluster(opts...)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("start broker: port %d is taken by another program: stop that or choose another port: %w", cfg.Port, err)
	case err != nil:
		return nil, fmt.Errorf("start broker: %s cannot be read: %w", cfg.Dir, err)
	}
	b.cluster = cluster
	b.wg.Go(func() { b.expire(cfg.Expire) })
	return b, nil
}

// Addr is the host:port that the broker listens on.
func (b *Broker) Addr() string { return b.cluster.ListenAddrs()[0] }

// Close stops the broker and writes its state.
func (b *Broker) Close() error {
	close(b.stop)
	b.wg.Wait()
	b.cluster.Close()
	if err := os.WriteFile(b.clean, nil, 0o644); err != nil {
		return fmt.Errorf("stop broker: %w", err)
	}
	return nil
}

func (b *Broker) expire(each time.Duration) {
	if each == 0 {
		each = time.Hour
	}
	t := time.NewTicker(each)
	defer t.Stop()
	for {
		b.cluster.ApplyRetention()
		select {
		case <-b.stop:
			return
		case <-t.C:
		}
	}
}

// prepare makes sure that kfake starts on what it can read. A log whose broker did not stop by itself is read whole and checked
// batch by batch, which kfake does where there is no snapshot of the partition.
func prepare(dir, clean string) error {
	_, err := os.Stat(filepath.Join(dir, "meta.json"))
	partitions, _ := filepath.Glob(filepath.Join(dir, "partitions", "*"))
	if errors.Is(err, os.ErrNotExist) && len(partitions) > 0 {
		return fmt.Errorf("%s holds logs but no meta.json: put the file back from a backup, or remove the folder to begin anew; tables and releases are not touched, what was under way is done again", dir)
	}
	switch err := os.Remove(clean); {
	case err == nil:
		return nil
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	for _, p := range partitions {
		if err := os.Remove(filepath.Join(p, "snapshot.json")); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// logger passes what kfake warns of to slog.
type logger struct{ log *slog.Logger }

func (l logger) Logf(level kfake.LogLevel, format string, args ...any) {
	if l.log == nil || level > kfake.LogLevelWarn {
		return
	}
	l.log.Log(context.Background(), slog.LevelWarn, "broker", slog.String("detail", strings.TrimSpace(fmt.Sprintf(format, args...))))
}
