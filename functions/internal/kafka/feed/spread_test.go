package feed_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/kafka/feed"
	"github.com/almanac-data/almanac/functions/internal/kafka/kafkatest"
	"github.com/almanac-data/almanac/functions/internal/kafka/link"
	"github.com/almanac-data/almanac/functions/internal/kafka/topics"
)

// worker is a member that reads for ever, and commits what it read.
type worker struct {
	mu   sync.Mutex
	read map[string]int
	lost int // records that were another's by the time they were to be worked on
}

func (w *worker) work(ctx context.Context, t *testing.T, c *link.Cluster, group, topic string) {
	m, err := feed.Join(c, group, []string{topic}, session, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Error(err)
		return
	}
	defer m.Close()
	for ctx.Err() == nil {
		records, err := m.Next(ctx)
		if err != nil && ctx.Err() == nil {
			t.Log(err)
		}
		for _, r := range records {
			if !m.Holds(r) {
				w.mu.Lock()
				w.lost++
				w.mu.Unlock()
				continue
			}
			w.mu.Lock()
			w.read[string(r.Key)]++
			w.mu.Unlock()
			if err := m.Commit(ctx, map[link.Place]int64{r.Place: r.Offset + 1}); err != nil && ctx.Err() == nil {
				t.Log(err) // a rebalance goes on: it comes again
			}
		}
	}
}

func (w *worker) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.read)
}

// TestMembersShareWhatLiesInOnePartition spreads records of a topic of facts, which has one partition, over two members; a third joins
// while they are at work.
func TestMembersShareWhatLiesInOnePartition(t *testing.T) {
	c, _ := cluster(t)
	fact, wake := events.Collected{}.Topic(), events.WakeTopics()[1]
	if err := topics.Ensure(t.Context(), c, topics.Names{Facts: events.FactTopics(), Wakes: events.WakeTopics()}); err != nil {
		t.Fatal(err)
	}
	group := fmt.Sprint("almanac-test-", time.Now().UnixNano())
	skip(t, c, group)
	skip(t, c, group+"-shared", wake)

	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	from, err := feed.Join(c, group, []string{fact}, session, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	wg.Go(func() {
		if err := feed.Spread(ctx, c, from, wake, func(error) {}); err != nil {
			t.Error(err)
		}
	})
	workers := []*worker{{read: map[string]int{}}, {read: map[string]int{}}, {read: map[string]int{}}}
	hire := func(w *worker) { wg.Go(func() { w.work(ctx, t, c, group+"-shared", wake) }) }
	hire(workers[0])
	hire(workers[1])

	// Both are at work once both have read. Tombstones wake nobody.
	said := map[string]bool{}
	tell := func(n int) {
		for range n {
			key := fmt.Sprint("flights//2001-01-05/1/", len(said))
			said[key] = true
			rs := []*kgo.Record{{Topic: fact, Key: []byte(key), Value: []byte("{}")}, {Topic: fact, Key: []byte("tombstone")}}
			if err := c.Facts.ProduceSync(ctx, rs...).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	deadline := time.Now().Add(time.Minute)
	for workers[0].count() == 0 || workers[1].count() == 0 {
		if time.Now().After(deadline) {
			t.Fatalf("after a minute one has read nothing: %d and %d", workers[0].count(), workers[1].count())
		}
		tell(1)
		time.Sleep(100 * time.Millisecond)
	}
	before := [2]int{workers[0].count(), workers[1].count()}
	tell(300)
	missing := func() (n int) {
		for key := range said {
			found := 0
			for _, w := range workers {
				w.mu.Lock()
				found += w.read[key]
				w.mu.Unlock()
			}
			if found == 0 {
				n++
			}
		}
		return n
	}
	await := func() {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); missing() > 0; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d of %d records were read by nobody", missing(), len(said))
			}
		}
	}
	await()
	shares := [2]int{workers[0].count() - before[0], workers[1].count() - before[1]}
	if shares[0] < 90 || shares[1] < 90 {
		t.Errorf("of 300 records the two read %v, want about half each", shares)
	}
	hire(workers[2])
	for range 100 {
		tell(5)
		if workers[2].count() > 20 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	await()
	twice := 0
	for _, w := range workers {
		w.mu.Lock()
		for key, n := range w.read {
			if twice += n - 1; key == "tombstone" {
				t.Error("a tombstone is handed out")
			}
		}
		w.mu.Unlock()
	}
	if workers[2].count() == 0 {
		t.Error("the third has read nothing")
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		first, err := feed.Lag(ctx, c, group, []string{fact})
		second, serr := feed.Lag(ctx, c, group+"-shared", []string{wake})
		if err == nil && serr == nil && first+second == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("what was read is not committed: %d and %d, %v, %v", first, second, err, serr)
		}
	}
	t.Logf("%d records; of 300 the two read %v; the third, who came later, %d; %d were read again by one, %d given up", len(said), shares, workers[2].count(), twice,
		workers[0].lost+workers[1].lost+workers[2].lost)
}

// TestWhatKeepsHintsFromBeingSpreadIsTold takes the right to write away for two tries.
func TestWhatKeepsHintsFromBeingSpreadIsTold(t *testing.T) {
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	c := kafkatest.Open(t, link.Config{Brokers: fake.ListenAddrs(), Now: time.Now})
	fact, wake := events.Collected{}.Topic(), events.WakeTopics()[1]
	if err := topics.Ensure(t.Context(), c, topics.Names{Facts: events.FactTopics(), Wakes: events.WakeTopics()}); err != nil {
		t.Fatal(err)
	}
	from, err := feed.Join(c, "told", []string{fact}, session, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan error, 100)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		if err := feed.Spread(ctx, c, from, wake, func(err error) { told <- err }); err != nil {
			t.Error(err)
		}
	})
	var refused atomic.Int32
	fake.ControlKey(int16(kmsg.Produce), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		req, _ := kreq.(*kmsg.ProduceRequest)
		resp, _ := req.ResponseKind().(*kmsg.ProduceResponse)
		if len(req.Topics) != 1 || !wakes(req, fake.TopicInfo(wake).TopicID, wake) || refused.Add(1) > 2 {
			return nil, nil, false
		}
		for _, topic := range req.Topics {
			answer := kmsg.NewProduceResponseTopic()
			answer.Topic, answer.TopicID = topic.Topic, topic.TopicID
			for _, p := range topic.Partitions {
				part := kmsg.NewProduceResponseTopicPartition()
				part.Partition, part.ErrorCode = p.Partition, kerr.TopicAuthorizationFailed.Code
				answer.Partitions = append(answer.Partitions, part)
			}
			resp.Topics = append(resp.Topics, answer)
		}
		return resp, nil, true
	})
	if err := c.Facts.ProduceSync(ctx, &kgo.Record{Topic: fact, Key: []byte("k"), Value: []byte("{}")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		select {
		case err := <-told:
			if n < 2 && (!errors.Is(err, kerr.TopicAuthorizationFailed) || !strings.Contains(err.Error(), wake)) || n == 2 && err != nil {
				t.Errorf("told %v at try %d, want two refusals that name %s, then that it went well", err, n+1, wake)
			}
		case <-time.After(time.Minute):
			t.Fatalf("after a minute %d things were told, want 3", n)
		}
	}
}

// wakes says whether a request writes to the topic.
func wakes(req *kmsg.ProduceRequest, id [16]byte, name string) bool {
	return req.Topics[0].Topic == name || req.Topics[0].TopicID == id
}
