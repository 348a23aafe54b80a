package feed_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/kafka/feed"
	"github.com/almanac-data/almanac/functions/internal/kafka/topics"
	"github.com/almanac-data/almanac/functions/internal/relay"
)

// Run A has a record of each partition under way; run B joins, does them and more, and ends. A has the partitions again, and gets its late answers.
func TestALateAnswerDoesNotTakeBackWhatAnotherCommitted(t *testing.T) {
	c, _ := cluster(t)
	topic := events.WakeTopics()[0]
	if err := topics.Ensure(t.Context(), c, topics.Names{Wakes: []string{topic}}); err != nil {
		t.Fatal(err)
	}
	group := fmt.Sprint("almanac-test-", time.Now().UnixNano())
	quiet := slog.New(slog.DiscardHandler)
	put := func() {
		for p := range int32(12) {
			if err := c.Facts.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Partition: p, Key: []byte("k"), Value: []byte("{}")}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	lag := func() int64 {
		n, err := feed.Lag(t.Context(), c, group, []string{topic})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	run := func(sink string) (stop func()) {
		m, err := feed.Join(c, group, []string{topic}, session, quiet)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		s := relay.KafkaSource{Namespace: "n", Name: "s", Sink: sink, Commit: 100 * time.Millisecond, Client: relay.NewClient(nil), Log: quiet}
		go func() { ended <- s.Run(ctx, m) }()
		return func() { cancel(); <-ended; m.Close() }
	}
	until := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("not within 30 s: ", what, ", lag ", lag())
			}
		}
	}
	release, arrived := make(chan struct{}), make(chan struct{}, 1000)
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-release
	}))
	defer slow.Close()
	fast := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer fast.Close()
	put()
	stopA := run(slow.URL)
	for range 12 {
		<-arrived
	}
	stopB := run(fast.URL)
	until("B does the first record of its six partitions", func() bool { return lag() == 6 })
	put()
	put()
	until("B does all of its six partitions", func() bool { return lag() == 18 })
	stopB()
	time.Sleep(5 * time.Second) // A has them again
	close(release)
	defer stopA()
	until("A does everything", func() bool { return lag() == 0 })
}
