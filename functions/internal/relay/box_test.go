package relay_test

import (
	"os"
	"testing"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/kafka"
	"github.com/almanac-data/almanac/functions/internal/onebox"
)

// box is an embedded broker with a client.
type box struct {
	broker  *onebox.Broker
	cluster *kafka.Cluster
	journal *kafka.Journal
}

// folder is a temporary folder in memory where the machine has one: a broker syncs many small files when it stops.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "relay-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func mustStart(t testing.TB, dir string) *box {
	t.Helper()
	broker, err := onebox.StartBroker(onebox.BrokerConfig{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	b := &box{broker: broker}
	b.cluster, err = kafka.Open(t.Context(), kafka.Config{Brokers: []string{broker.Addr()}, Now: func() time.Time { return newYear }})
	if err == nil {
		err = b.cluster.EnsureTopics(t.Context(), events.FactTopics(), events.DueTopics(), nil)
	}
	if err == nil {
		b.journal, err = b.cluster.Journal(t.Context(), "test")
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *box) close(t testing.TB) {
	t.Helper()
	b.journal.Close()
	b.cluster.Close()
	b.broker.Close()
}

func pieceOf(n int) events.Piece {
	return events.Piece{Dataset: "flights", Window: "2024-01-01", Generation: 1, Slice: n}
}
