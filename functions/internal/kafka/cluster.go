// Package kafka keeps facts and blocks in Apache Kafka, or in anything that speaks its protocol.
//
// Nothing here rests on transactions, on the offsets of consumer groups, or on a position that is found by looking:
// facts are read whole, blocks are read where a claim says that they lie, and what is not there is an error.
package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
)

// MaxBlock bounds one record: a block of 1 MiB of source bytes may grow as Arrow.
const MaxBlock = 32 << 20

// Config says how to reach a cluster, and how topics are made there.
type Config struct {
	Brokers  []string // host:port
	ClientID string
	TLS      *tls.Config // nil for plain connections
	// Dialer makes the connections, if it is set; TLS is then its own affair.
	Dialer func(ctx context.Context, network, address string) (net.Conn, error)
	SASL   sasl.Mechanism // nil for none

	Partitions  int32         // of block topics; 0 means 4
	Replication int16         // of all topics; 0 means the broker's default
	Retention   time.Duration // of blocks and dead letters; 0 means 30 days
	Compression string        // of Arrow blocks: none, lz4 or zstd; empty means none. Raw blocks are compressed already.
	Dial        time.Duration // how long Open tries to reach a broker; 0 means 10 s

	// Now tells the time that facts are said to be said at.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	if c.ClientID == "" {
		c.ClientID = "almanac"
	}
	if c.Partitions == 0 {
		c.Partitions = 4
	}
	if c.Replication == 0 {
		c.Replication = -1
	}
	if c.Retention == 0 {
		c.Retention = 30 * 24 * time.Hour
	}
	if c.Dial == 0 {
		c.Dial = 10 * time.Second
	}
	return c
}

// Cluster is a connection to Kafka. It is safe for concurrent use; Close ends it.
type Cluster struct {
	cfg    Config
	id     string // cluster id at Open
	facts  *kgo.Client
	raw    *kgo.Client // blocks that are compressed already; reads
	arrow  *kgo.Client // Arrow blocks; may be raw
	admin  *kadm.Client
	mu     sync.RWMutex
	topics map[string]topic
}

// Open connects to a cluster. The error names the address that did not answer.
func Open(ctx context.Context, cfg Config) (*Cluster, error) {
	cfg = cfg.withDefaults()
	if cfg.Now == nil {
		return nil, errors.New("open kafka: no clock is set")
	}
	codec, err := codecOf(cfg.Compression)
	if err != nil {
		return nil, err
	}
	c := &Cluster{cfg: cfg, topics: map[string]topic{}}
	if c.facts, err = c.client(); err != nil {
		return nil, fmt.Errorf("open kafka: %w", err)
	}
	if err = c.reach(ctx); err != nil {
		c.Close()
		return nil, err
	}
	if c.raw, err = c.client(); err == nil {
		c.arrow = c.raw
		if cfg.Compression != "" && cfg.Compression != "none" {
			c.arrow, err = c.client(kgo.ProducerBatchCompression(codec))
		}
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("open kafka: %w", err)
	}
	c.admin = kadm.NewClient(c.facts)
	return c, nil
}

// Close ends the connections. What is not acknowledged by then is not written.
func (c *Cluster) Close() {
	for _, cl := range []*kgo.Client{c.arrow, c.raw, c.facts} {
		if cl != nil {
			cl.Close()
		}
	}
}

func codecOf(name string) (kgo.CompressionCodec, error) {
	switch name {
	case "", "none":
		return kgo.NoCompression(), nil
	case "lz4":
		return kgo.Lz4Compression(), nil
	case "zstd":
		return kgo.ZstdCompression().WithLevel(1), nil
	}
	return kgo.CompressionCodec{}, fmt.Errorf("open kafka: compression %q is not one of none, lz4, zstd", name)
}

// client makes a client with the settings that all share: idempotent, all acknowledgements, no offset resets, deadlines.
func (c *Cluster) client(more ...kgo.Opt) (*kgo.Client, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.cfg.Brokers...),
		kgo.ClientID(c.cfg.ClientID),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ProducerBatchMaxBytes(MaxBlock),
		kgo.ProducerLinger(0),
		kgo.RecordDeliveryTimeout(time.Minute),
		kgo.RetryTimeout(30 * time.Second),
		kgo.DialTimeout(5 * time.Second),
		kgo.MetadataMinAge(250 * time.Millisecond),
		kgo.MaxDecompressBatchBytes(2 * MaxBlock),
		kgo.DisableClientMetrics(),
	}
	if c.cfg.Dialer != nil {
		opts = append(opts, kgo.Dialer(c.cfg.Dialer))
	} else if c.cfg.TLS != nil {
		opts = append(opts, kgo.DialTLSConfig(c.cfg.TLS))
	}
	if c.cfg.SASL != nil {
		opts = append(opts, kgo.SASL(c.cfg.SASL))
	}
	return kgo.NewClient(append(opts, more...)...)
}

// reach asks for the cluster id until a broker answers or the time to dial is over.
func (c *Cluster) reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Dial)
	defer cancel()
	var last error
	for {
		id, err := c.clusterID(ctx)
		if err == nil {
			c.id = id
			return nil
		}
		if last == nil || !errors.Is(err, context.DeadlineExceeded) {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("open kafka: no broker answers at %s: %w; see that Kafka runs and that the address, TLS and user are right",
				strings.Join(c.cfg.Brokers, ", "), last)
		case <-time.After(200 * time.Millisecond):
		}
	}
}
