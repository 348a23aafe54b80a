// Package link connects to a cluster of Kafka, with the settings that all of Almanac's clients share, and looks up its topics.
package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/almanac-data/almanac/functions/internal/kafka/fault"
	"github.com/almanac-data/almanac/functions/internal/kafka/secure"
)

// MaxBlock bounds one record: a block of 1 MiB of source bytes may grow as Arrow.
const MaxBlock = 32 << 20

// MaxFact bounds a fact, one may pin thousands of files, and a dead letter.
const MaxFact = 8 << 20

// Config says how to reach a cluster, and how topics are made there.
type Config struct {
	Brokers  []string // host:port
	ClientID string
	Access   secure.Access // how to be let in; connections are plain if it is empty
	// Dialer makes plain connections, if it is set.
	Dialer func(ctx context.Context, network, address string) (net.Conn, error)

	Partitions  int32         // of block topics; 0 means 4
	Replication int16         // of all topics; 0 means one on each broker, but not more than 3
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
	Config Config
	door   *secure.Door
	id     string // cluster id at Open
	// brokers are those that were there at Open
	brokers int
	Facts   *kgo.Client // facts, dues, wakes and dead letters
	Raw     *kgo.Client // blocks that are compressed already; reads
	Arrow   *kgo.Client // Arrow blocks; may be raw
	Admin   *kadm.Client
	mu      sync.RWMutex
	topics  map[string]Topic
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
	c := &Cluster{Config: cfg, topics: map[string]Topic{}}
	if c.door, err = secure.New(cfg.Access); err != nil {
		return nil, fmt.Errorf("open kafka: %w", err)
	}
	if err = c.reach(ctx); err != nil {
		return nil, err
	}
	// What is said at once makes one batch, which the topics take as they take one record.
	if c.Facts, err = c.Client(kgo.ProducerBatchMaxBytes(MaxFact)); err == nil {
		c.Raw, err = c.Client()
	}
	if err == nil {
		c.Arrow = c.Raw
		if cfg.Compression != "" && cfg.Compression != "none" {
			c.Arrow, err = c.Client(kgo.ProducerBatchCompression(codec))
		}
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("open kafka: %w", err)
	}
	c.Admin = kadm.NewClient(c.Facts)
	return c, nil
}

// Close ends the connections. What is not acknowledged by then is not written.
func (c *Cluster) Close() {
	for _, cl := range []*kgo.Client{c.Arrow, c.Raw, c.Facts} {
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

// Client makes a client with the settings that all share: idempotent, all acknowledgements, no offset resets, deadlines.
func (c *Cluster) Client(more ...kgo.Opt) (*kgo.Client, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.Config.Brokers...),
		kgo.ClientID(c.Config.ClientID),
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
	switch {
	case c.door != nil:
		opts = append(opts, kgo.Dialer(c.door.Dial))
		if m := c.door.Mechanism(); m != nil {
			opts = append(opts, kgo.SASL(m))
		}
	case c.Config.Dialer != nil:
		opts = append(opts, kgo.Dialer(c.Config.Dialer))
	}
	return kgo.NewClient(append(opts, more...)...)
}

// probe asks once: a client that tries again for itself keeps the cause to itself until its time is over.
func (c *Cluster) probe(ctx context.Context, topics ...string) (*kmsg.MetadataResponse, error) {
	cl, err := c.Client(kgo.RequestRetries(0))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	return metadata(ctx, cl, topics...)
}

// reach asks for the cluster id until a broker answers, the time to dial is over, or what is wrong is for a person to mend.
func (c *Cluster) reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.Config.Dial)
	defer cancel()
	var last error
	for {
		resp, err := c.probe(ctx)
		if err == nil {
			c.id, c.brokers = value(resp.ClusterID), len(resp.Brokers)
			return nil
		}
		if err = fault.Explain(err, fault.On{User: c.User()}); fault.IsFinal(err) {
			return fmt.Errorf("open kafka at %s: %w", strings.Join(c.Config.Brokers, ", "), err)
		}
		if last == nil || !errors.Is(err, context.DeadlineExceeded) {
			last = err
		}
		select {
		case <-ctx.Done():
			return fault.Unanswered(fmt.Errorf("open kafka: no broker answers at %s: %w; see that Kafka runs and that the address (ALMANAC_KAFKA), TLS and user are right",
				strings.Join(c.Config.Brokers, ", "), last))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Pause waits, or returns early when the context ends.
func Pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// Copies is how many replicas a new topic has.
func (c *Cluster) Copies() int16 {
	if c.Config.Replication > 0 {
		return c.Config.Replication
	}
	return int16(min(c.brokers, 3))
}
