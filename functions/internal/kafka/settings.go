package kafka

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/almanac-data/almanac/functions/internal/kafka/secure"
)

// Settings is what the environment of a process says of Kafka. A function's config embeds it.
type Settings struct {
	secure.Access

	Brokers     []string      `env:"ALMANAC_KAFKA,default=127.0.0.1:9092"`   // host:port of the brokers to start from
	Partitions  int32         `env:"ALMANAC_KAFKA_PARTITIONS,default=4"`     // of new block topics
	Replication int16         `env:"ALMANAC_KAFKA_REPLICATION,default=0"`    // copies of each topic; 0 means one on each broker, but not more than 3
	Retention   time.Duration `env:"ALMANAC_KAFKA_RETENTION,default=720h"`   // of blocks, at least: longer than anything waits to be stored
	Compression string        `env:"ALMANAC_KAFKA_COMPRESSION,default=none"` // of Arrow blocks: none, lz4 or zstd
	Patience    time.Duration `env:"ALMANAC_KAFKA_PATIENCE,default=10s"`     // how long a start waits for a broker that answers
}

// Check tells every mistake, each by the name of its variable.
func (s Settings) Check() error {
	var all []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			all = append(all, fmt.Errorf(format, args...))
		}
	}
	for _, b := range s.Brokers {
		host, port, err := net.SplitHostPort(b)
		wrong(err != nil || host == "" || port == "", "ALMANAC_KAFKA must name each broker as host:port, not %q", b)
	}
	wrong(s.Partitions < 1, "ALMANAC_KAFKA_PARTITIONS must be at least 1, not %d", s.Partitions)
	wrong(s.Replication < 0, "ALMANAC_KAFKA_REPLICATION must not be negative, not %d", s.Replication)
	wrong(s.Retention < time.Hour, "ALMANAC_KAFKA_RETENTION must be at least 1h, not %s", s.Retention)
	wrong(s.Patience < time.Second, "ALMANAC_KAFKA_PATIENCE must be at least 1s, not %s", s.Patience)
	switch s.Compression {
	case "none", "lz4", "zstd":
	default:
		wrong(true, "ALMANAC_KAFKA_COMPRESSION must be none, lz4 or zstd, not %q", s.Compression)
	}
	return errors.Join(all...)
}

// Config reaches the cluster under a client id, with the time that facts are said at.
func (s Settings) Config(client string, now func() time.Time) Config {
	return Config{
		Brokers: s.Brokers, ClientID: client, Access: s.Access, Now: now, Dial: s.Patience,
		Partitions: s.Partitions, Replication: s.Replication, Retention: s.Retention, Compression: s.Compression,
	}
}
