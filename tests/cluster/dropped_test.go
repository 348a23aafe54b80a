package cluster

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/almanac-data/almanac/tests/internal/box"
)

// TestEventsThatAreDropped loses the events of every day that is collected, as Knative's KafkaSource loses one whose dead-letter sink fails too: its
// offset is committed. The calendar says the facts again, and the work is done.
func TestEventsThatAreDropped(t *testing.T) {
	c := running(t)
	if *functions == "" || c.secure() {
		t.Skip("needs the functions' programs and the plain lab")
	}
	const days = 9
	datasets := firstMonths(t, "2001-01-10")
	b := c.box(t, datasets)
	p := &platform{dir: t.TempDir()}
	env := append(box.Lines(run(t, b, 0, "env").Out), "ALMANAC_DATASETS="+datasets, "ALMANAC_QUIET=0s", "ALMANAC_GRACE_FACTS=10s")
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	sinks := map[string]string{}
	for _, name := range []string{"calendar", "collect", "process", "validate", "store"} {
		sinks[name] = "http://" + p.function(ctx, t, name, env)
	}
	listen := func(name, topic string) {
		p.source(ctx, t, b, "--config", b.Config, "--name", name, "--topics", topic, "--sink", sinks[name])
	}
	for _, name := range []string{"collect", "validate", "store"} {
		listen(name, wakes[name][0])
	}
	p.source(ctx, t, b, "--name", "ticks", "--schedule", "*/2 * * * * *", "--sink", sinks["calendar"])
	// Nobody listens for process: its first events are dropped.
	dropped := c.drop(ctx, t, "almanac-process", wakes["process"][0], days)
	all, err := b.Status(ctx)
	if err != nil || windows(all, "stored") != 0 {
		t.Fatalf("%d windows are stored, %v, want none before process is woken", windows(all, "stored"), err)
	}
	listen("process", wakes["process"][0])
	for windows(all, "stored") != days {
		select {
		case <-ctx.Done():
			t.Fatalf("of %d days whose events were dropped, %d are stored; the last of the logs:\n%s", days, windows(all, "stored"), p.logs())
		case <-time.After(time.Second):
		}
		if all, err = b.Status(ctx); err != nil {
			t.Log(err)
		}
	}
	t.Logf("%d events were dropped, and all %d days are stored", dropped, days)
	stop()
	p.close(t)
}

// drop waits until a topic has so many records, and commits all of them as done for a group that has no members.
func (c *centre) drop(ctx context.Context, t *testing.T, group, topic string, least int64) int64 {
	t.Helper()
	client, err := kgo.NewClient(c.kafka(t)...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	for {
		ends, err := admin.ListEndOffsets(ctx, topic)
		if err != nil {
			t.Fatal(err)
		}
		var n int64
		ends.Each(func(o kadm.ListedOffset) { n += o.Offset })
		if n >= least {
			if err := admin.CommitAllOffsets(ctx, group, ends.Offsets()); err != nil {
				t.Fatal(err)
			}
			return n
		}
		time.Sleep(200 * time.Millisecond)
	}
}
