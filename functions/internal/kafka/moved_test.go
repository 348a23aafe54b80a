package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/kafka/letters"
)

// moves gives the partitions of topics other leaders, one after the other, until it is stopped: each broker has a copy of all.
func moves(t *testing.T, c *Cluster, topics ...string) (moved *atomic.Int64, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	moved, done := new(atomic.Int64), make(chan error, 1)
	go func() {
		var err error
		for (err == nil || kerr.IsRetriable(err)) && ctx.Err() == nil {
			if err = move(ctx, c.Admin, topics[int(moved.Load())%len(topics)]); err == nil {
				moved.Add(1)
			}
			time.Sleep(150 * time.Millisecond)
		}
		if ctx.Err() != nil {
			err = nil
		}
		done <- err
	}()
	return moved, func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("move leaders: %v", err)
		}
	}
}

// move makes the last copy of each partition the preferred one, and lets it lead.
func move(ctx context.Context, admin *kadm.Client, topic string) error {
	there, err := admin.ListTopics(ctx, topic)
	if err != nil {
		return err
	}
	to, of := kadm.AlterPartitionAssignmentsReq{}, kadm.TopicsSet{}
	for _, p := range there[topic].Partitions {
		turned := slices.Clone(p.Replicas)
		to.Assign(topic, p.Partition, append(turned[len(turned)-1:], turned[:len(turned)-1]...))
		of.Add(topic, p.Partition)
	}
	altered, err := admin.AlterPartitionAssignments(ctx, to)
	if err == nil {
		err = altered.Error()
	}
	if err != nil {
		return err
	}
	elected, err := admin.ElectLeaders(ctx, kadm.ElectPreferredReplica, of)
	if err != nil {
		return err
	}
	for partition, r := range elected[topic] {
		if r.Err != nil && !errors.Is(r.Err, kerr.ElectionNotNeeded) && !errors.Is(r.Err, kerr.PreferredLeaderNotAvailable) {
			return fmt.Errorf("%s/%d: %w", topic, partition, r.Err)
		}
	}
	return nil
}

// TestNothingIsMissedWhileLeadersMove says facts, writes blocks and buries letters on a cluster of three, and reads each back at once, while other brokers begin to lead.
func TestNothingIsMissedWhileLeadersMove(t *testing.T) {
	_, c := newFake(t)
	if n, _ := copies(t, c); n < 3 {
		t.Skip("needs three brokers: make lab ONLY=kafka,kafka2,kafka3")
	}
	if err := c.Bury(t.Context(), letter("first")); err != nil { // makes the topic
		t.Fatal(err)
	}
	fact, raw := events.Collected{}.Topic(), block.RawTopic("flights")
	moved, stop := moves(t, c, fact, raw, fact, letters.Topic)
	j, missed, began, n := openJournal(t, c), 0, time.Now(), 0
	for ; n < 100 || moved.Load() < 50 && !t.Failed() && time.Since(began) < 2*time.Minute; n++ {
		p := piece(n)
		claim := write(t, c, raw, p, 3, 1000)
		if err := j.Say(t.Context(), events.Collected{Piece: p, Raw: claim}); err != nil {
			t.Fatalf("%d: %v", n, err)
		}
		v, err := j.View(t.Context())
		if err != nil {
			t.Fatalf("%d: %v", n, err)
		}
		if _, ok := facts.Get[events.Collected](v, p); !ok {
			missed++
		}
		if got, err := drain(c.Blocks().Read(t.Context(), claim)); err != nil || len(got) != 3 {
			t.Fatalf("%d: %d blocks, %v", n, len(got), err)
		}
		ranges, err := c.Ranges(t.Context(), raw)
		if err != nil {
			t.Fatalf("%d: %v", n, err)
		}
		if end := ranges[claim.Partition].End; end < claim.To {
			t.Errorf("%d: the log ends at %d, and blocks lie there until %d", n, end, claim.To)
		}
		if n%10 == 0 {
			if err := c.Bury(t.Context(), letter(fmt.Sprint(n))); err != nil {
				t.Fatalf("%d: %v", n, err)
			}
		}
	}
	buried := 0
	for _, err := range c.DeadLetters(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		buried++
	}
	times := moved.Load()
	stop()
	t.Logf("%d facts, %d blocks and %d letters in %s while leaders were moved %d times", n, 3*n, buried, time.Since(began).Round(time.Second), times)
	if missed > 0 {
		t.Errorf("%d of %d views lack what their process had just said", missed, n)
	}
	if want := 1 + (n+9)/10; buried != want {
		t.Errorf("there are %d letters, want %d", buried, want)
	}
	if times < 50 {
		t.Errorf("leaders were moved %d times only", times)
	}
}

func letter(id string) DeadLetter {
	return DeadLetter{Attributes: map[string]string{"specversion": "1.0", "id": id, "type": "t", "source": "/s"}, Data: []byte(id)}
}
