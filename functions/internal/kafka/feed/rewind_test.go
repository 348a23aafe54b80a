package feed_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
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
	topic := fmt.Sprint(events.WakeTopics()[0], "-", time.Now().UnixNano()) // no job has left anything there
	if err := topics.Ensure(t.Context(), c, topics.Names{Wakes: []string{topic}}); err != nil {
		t.Fatal(err)
	}
	defer func() { // t.Context() has not ended yet
		if _, err := c.Admin.DeleteTopics(t.Context(), topic); err != nil {
			t.Error(err)
		}
	}()
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
		m, err := feed.Join(c, group, []string{topic}, 5*session, quiet) // nobody is to be put out
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
		for end := time.Now().Add(time.Minute); !ok(); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("not within a minute: ", what, ", lag ", lag())
			}
		}
	}
	held, arrived := make(chan struct{}), make(chan struct{}, 1000)
	release := sync.OnceFunc(func() { close(held) })
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-held
	}))
	defer slow.Close() // waits for what is held
	defer release()
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
	release()
	defer stopA()
	until("A does everything", func() bool { return lag() == 0 })
}
