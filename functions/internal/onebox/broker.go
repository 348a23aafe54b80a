package onebox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
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
	door    *Shortcut
	stop    chan struct{}
	wg      sync.WaitGroup
	once    sync.Once
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
	// What is trimmed is deleted by whole segments, and when the broker starts it holds a segment of each log in memory.
	"log.segment.bytes": strconv.Itoa(8 << 20),
	// Offsets of sources never expire.
	"offsets.retention.minutes": strconv.Itoa(1<<31 - 1),
}

// StartBroker starts the broker on what the folder holds. After a kill the torn end of a log is cut off: records that were
// acknowledged are kept.
func StartBroker(cfg BrokerConfig) (*Broker, error) {
	if err := os.MkdirAll(cfg.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("start broker: %w", err)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	b := &Broker{stop: make(chan struct{})}
	if err := prepare(cfg.Dir, cfg.Log); err != nil {
		return nil, fmt.Errorf("start broker: %w", err)
	}
	opts := []kfake.Opt{
		kfake.Ports(cfg.Port), kfake.ClusterID("almanac-onebox"), kfake.DataDir(cfg.Dir), kfake.BrokerConfigs(settings),
		kfake.WithLogger(logger{cfg.Log}), kfake.ListenFn(b.listen),
	}
	if cfg.Sync {
		opts = append(opts, kfake.SyncWrites())
	}
	cluster, err := kfake.NewCluster(opts...)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("start broker: port %d is taken by another program: stop that or choose another port: %w", cfg.Port, err)
	case err != nil:
		return nil, fmt.Errorf("start broker: %s cannot be read: %w; "+
			"put it back from a backup, or remove it to begin anew: tables and releases are not touched, and what was under way is done again",
			cfg.Dir, err)
	}
	b.cluster = cluster
	b.wg.Go(func() { b.expire(cfg.Expire) })
	return b, nil
}

// Addr is the host:port that the broker listens on.
func (b *Broker) Addr() string { return b.cluster.ListenAddrs()[0] }

// Dial connects to the broker from within the process.
func (b *Broker) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return b.door.Dial(ctx, network, address)
}

func (b *Broker) listen(network, address string) (net.Listener, error) {
	l, err := net.Listen(network, address) //nolint:noctx // kfake has none to give
	if err != nil {
		return nil, err
	}
	b.door = NewShortcut(l)
	return b.door, nil
}

// Close stops the broker and writes its state. Closing twice does nothing.
func (b *Broker) Close() {
	b.once.Do(func() {
		close(b.stop)
		b.wg.Wait()
		b.cluster.Close()
	})
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

// logger passes what kfake warns of to slog.
type logger struct{ log *slog.Logger }

func (l logger) Logf(level kfake.LogLevel, format string, args ...any) {
	if level > kfake.LogLevelWarn {
		return
	}
	l.log.Log(context.Background(), slog.LevelWarn, "broker", slog.String("detail", strings.TrimSpace(fmt.Sprintf(format, args...))))
}
