package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/kafka/kafkatest"
	"github.com/almanac-data/almanac/functions/internal/kafka/letters"
	"github.com/almanac-data/almanac/functions/internal/kafka/wire"
)

var noon = time.Date(2001, 1, 5, 12, 0, 0, 0, time.UTC)

// newFake starts a broker in memory and connects to it. Where ALMANAC_TEST_LAB names a lab, it is the real one, which loses the topics
// of an earlier test.
func newFake(t testing.TB, opts ...kfake.Opt) (*kfake.Cluster, *Cluster) {
	t.Helper()
	if lab := kafkatest.Running(t); lab != nil {
		if len(opts) > 0 {
			t.Skip("needs a fake")
		}
		return nil, connectReal(t, lab)
	}
	fake, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	return fake, connect(t, fake)
}

func connectReal(t testing.TB, lab kafkatest.Lab) *Cluster {
	t.Helper()
	cfg := lab.AdminConfig()
	cfg.Now = func() time.Time { return noon }
	c, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	names := slices.Concat(events.FactTopics(), events.DueTopics(), block.Topics("flights"), []string{letters.Topic, "almanac.fact.other"})
	destroy(t, c, names...)
	if err := c.EnsureTopics(t.Context(), events.FactTopics(), events.DueTopics(), block.Topics("flights")); err != nil {
		t.Fatal(err)
	}
	return c
}

// led counts which of the topics have leaders, as each broker knows it.
func led(t testing.TB, c *Cluster, names []string) (n int) {
	t.Helper()
	brokers, err := c.Admin.ListBrokers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, broker := range brokers { // one may be behind
		resp, err := c.MetadataOf(t.Context(), broker.NodeID, names...)
		if err != nil {
			t.Fatal(err)
		}
		for _, topic := range resp.Topics {
			if topic.ErrorCode == 0 && len(topic.Partitions) > 0 {
				n++
			}
		}
	}
	return n
}

// destroy deletes topics and waits until they are gone.
func destroy(t testing.TB, c *Cluster, names ...string) {
	t.Helper()
	if _, err := c.Admin.DeleteTopics(t.Context(), names...); err != nil {
		t.Fatal(err)
	}
	for led(t, c, names) > 0 {
		time.Sleep(10 * time.Millisecond)
	}
}

func connect(t testing.TB, fake *kfake.Cluster) *Cluster {
	t.Helper()
	c, err := Open(t.Context(), Config{Brokers: fake.ListenAddrs(), Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.EnsureTopics(t.Context(), events.FactTopics(), events.DueTopics(), block.Topics("flights")); err != nil {
		t.Fatal(err)
	}
	return c
}

// copies are how many there are of each topic that is made, and least how many of them must have what is acknowledged.
func copies(t testing.TB, c *Cluster) (n, least int) {
	t.Helper()
	brokers, err := c.Admin.ListBrokers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n = min(len(brokers), 3)
	return n, max(n-1, 1)
}

func openJournal(t testing.TB, c *Cluster) *Journal {
	t.Helper()
	j, err := c.Journal(t.Context(), "collect")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.Close)
	return j
}

func piece(day int) events.Piece {
	return events.Piece{Dataset: "flights", Window: noon.AddDate(0, 0, day).Format("2006-01-02"), Generation: 1, Slice: 1}
}

// write appends n blocks of about size bytes and claims them.
func write(t testing.TB, c *Cluster, topic string, p events.Piece, n, size int) events.Claim {
	t.Helper()
	a, err := c.Blocks().Open(t.Context(), topic, p)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for i := range n {
		value := bytes.Repeat([]byte{byte('a' + i%26)}, size)
		if err := a.Append(t.Context(), block.Block{Index: i, Rows: 10, From: events.Position{File: 2, Offset: int64(i * size)}, Fragment: i == 1, Value: value}); err != nil {
			t.Fatal(err)
		}
	}
	claim, err := a.Claim(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return claim
}

func drain(seq iter.Seq2[block.Block, error]) (blocks []block.Block, err error) {
	for b, berr := range seq {
		if berr != nil {
			err = berr
			continue
		}
		blocks = append(blocks, b)
	}
	return blocks, err
}

func TestFactsSaidByOneJournalAreSeenByAnother(t *testing.T) {
	_, c := newFake(t)
	says, sees := openJournal(t, c), openJournal(t, connectAgain(t, c))
	for day := range 200 {
		if err := says.Say(t.Context(), events.Collected{Piece: piece(day), Definition: "d"}); err != nil {
			t.Fatal(err)
		}
		v, err := sees.View(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, at, ok := facts.When[events.Collected](v, piece(day)); !ok || !at.Equal(noon) {
			t.Fatalf("fact %d is not in a view taken right after it was acknowledged (at %v)", day, at)
		}
	}
}

func connectAgain(t *testing.T, c *Cluster) *Cluster {
	t.Helper()
	again, err := Open(t.Context(), c.Config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Close)
	return again
}

func TestViewsTakenAtOnceShareRequests(t *testing.T) {
	fake, c := newFake(t, kfake.NumBrokers(1))
	j := openJournal(t, c)
	var fetches int
	fake.ControlKey(1, func(kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		fetches++
		return nil, nil, false
	})
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if _, err := j.View(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if fetches > 50 {
		t.Errorf("100 views at once made %d requests, want few", fetches)
	}
}

func TestAJournalReadsWhatWasSaidBeforeIt(t *testing.T) {
	_, c := newFake(t)
	j := openJournal(t, c)
	if err := j.Say(t.Context(), events.Collected{Piece: piece(0), Definition: "old"}, events.Processed{Piece: piece(0)}, events.Collected{Piece: piece(0), Definition: "new"},
		events.Due{Piece: piece(1), Step: events.StepCollect}); err != nil {
		t.Fatal(err)
	}
	if err := j.Retract(t.Context(), events.Processed{Piece: piece(0)}); err != nil {
		t.Fatal(err)
	}
	v, err := openJournal(t, c).View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if f, ok := facts.Get[events.Collected](v, piece(0)); !ok || f.Definition != "new" {
		t.Errorf("collected = %+v, %v, want the later one", f, ok)
	}
	if _, ok := facts.Get[events.Processed](v, piece(0)); ok {
		t.Error("a fact that was taken back is still there")
	}
	if _, _, ok := facts.LatestDue(v, events.StepCollect, piece(1)); !ok {
		t.Error("the due is not there")
	}
}

func TestForgedRecordsAreCountedAndPassedOver(t *testing.T) {
	_, c := newFake(t)
	j := openJournal(t, c)
	topic := events.Collected{}.Topic()
	good, err := wire.Encode(t.Context(), events.Collected{Piece: piece(0)}, "/almanac/x", noon)
	if err != nil {
		t.Fatal(err)
	}
	forged := map[string]*kgo.Record{
		"no headers and no key": {Topic: topic, Value: []byte("x")},
		"no value and no key":   {Topic: topic},
		"another key":           {Topic: topic, Key: []byte("flights//2001-01-05/9/9"), Value: good.Value, Headers: good.Headers},
		"another topic":         {Topic: events.Stored{}.Topic(), Key: good.Key, Value: good.Value, Headers: good.Headers},
		"torn data":             {Topic: topic, Key: good.Key, Value: good.Value[:len(good.Value)/2], Headers: good.Headers},
		"empty data":            {Topic: topic, Key: good.Key, Value: []byte{}, Headers: good.Headers},
		"an impossible time":    {Topic: topic, Key: []byte("k"), Value: []byte("{}"), Headers: []kgo.RecordHeader{{Key: "ce_time", Value: []byte("yesterday")}}},
	}
	for name, r := range forged {
		if err := c.Facts.ProduceSync(t.Context(), r).FirstErr(); err != nil && (r.Key != nil || !errors.Is(err, kerr.InvalidRecord)) { // Kafka itself wants a key
			t.Fatalf("%s: %v", name, err)
		}
	}
	v, err := j.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(facts.All[events.Collected](v, "")); n != 0 {
		t.Errorf("%d forged facts are believed", n)
	}
	if v.Refused() < len(forged)-2 {
		t.Errorf("refused %d of %d", v.Refused(), len(forged))
	}
	if err := j.Say(t.Context(), events.Collected{Piece: piece(0)}); err != nil {
		t.Fatal(err)
	}
	if v, err = j.View(t.Context()); err != nil || len(facts.All[events.Collected](v, "")) != 1 {
		t.Errorf("after forged records: %v", err)
	}
}

func TestBlocksOfTwoWritersInOnePartitionAreReadApart(t *testing.T) {
	_, c := newFake(t)
	topic := block.ProcessedTopic("flights")
	var wg sync.WaitGroup
	claims := make([]events.Claim, 4)
	for i := range claims {
		wg.Go(func() { claims[i] = write(t, c, topic, piece(0), 50+i, 10_000) })
	}
	wg.Wait()
	for i, claim := range claims {
		got, err := drain(c.Blocks().Read(t.Context(), claim))
		if err != nil {
			t.Fatalf("claim %+v: %v", claim, err)
		}
		if len(got) != 50+i || claim.Rows != int64(10*(50+i)) || claim.Bytes != int64(10_000*(50+i)) {
			t.Fatalf("read %d blocks, claim %+v", len(got), claim)
		}
		for n, b := range got {
			if b.Index != n || b.Piece != piece(0) || b.Rows != 10 || b.From != (events.Position{File: 2, Offset: int64(n * 10_000)}) || b.Fragment != (n == 1) || len(b.Value) != 10_000 {
				t.Fatalf("block %d is %+v", n, b)
			}
		}
	}
}

func TestAnEmptyClaimReadsAsNothing(t *testing.T) {
	_, c := newFake(t)
	claim := write(t, c, block.RawTopic("flights"), piece(0), 0, 0)
	if got, err := drain(c.Blocks().Read(t.Context(), claim)); err != nil || len(got) != 0 {
		t.Errorf("empty claim %+v: %d blocks, %v", claim, len(got), err)
	}
}

func TestAClaimThatDoesNotHoldIsAbsent(t *testing.T) {
	tests := map[string]struct {
		change func(t *testing.T, c *Cluster, claim *events.Claim)
		says   string
	}{
		"a block less":        {func(_ *testing.T, _ *Cluster, cl *events.Claim) { cl.To-- }, "claimed"},
		"another digest":      {func(_ *testing.T, _ *Cluster, cl *events.Claim) { cl.Digest = strings.Repeat("0", 64) }, "claimed"},
		"another writer":      {func(_ *testing.T, _ *Cluster, cl *events.Claim) { cl.Writer = "x" }, "claimed"},
		"beyond the log":      {func(_ *testing.T, _ *Cluster, cl *events.Claim) { cl.From += 1000; cl.To += 1000 }, "from 0 to 10"},
		"longer than the log": {func(_ *testing.T, _ *Cluster, cl *events.Claim) { cl.To += 5 }, "from 0 to 10"},
		"before the log":      {func(_ *testing.T, _ *Cluster, cl *events.Claim) { cl.From = -5 }, "from 0 to 10"},
		"no such partition":   {func(_ *testing.T, _ *Cluster, cl *events.Claim) { cl.Partition = 17 }, "partitions"},
		"no such topic":       {func(_ *testing.T, _ *Cluster, cl *events.Claim) { cl.Topic = "almanac.raw.other" }, "does not exist"},
		"another topic id":    {func(_ *testing.T, _ *Cluster, cl *events.Claim) { cl.TopicID = strings.Repeat("0", 32) }, "made anew"},
		"expired blocks": {func(t *testing.T, c *Cluster, cl *events.Claim) {
			if err := c.Trim(t.Context(), cl.Topic, cl.Partition, 3); err != nil {
				t.Fatal(err)
			}
		}, "from 3 to 10"},
		"a topic made anew": {func(t *testing.T, c *Cluster, cl *events.Claim) {
			remake(t, c, cl.Topic)
		}, "made anew"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, c := newFake(t)
			claim := write(t, c, block.RawTopic("flights"), piece(0), 10, 1000)
			tt.change(t, c, &claim)
			_, err := drain(c.Blocks().Read(t.Context(), claim))
			if !errors.Is(err, block.ErrAbsent) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error is %v, want one that wraps ErrAbsent and says %q", err, tt.says)
			}
		})
	}
}

// remake deletes a topic and makes it again by the same name.
func remake(t *testing.T, c *Cluster, topic string) {
	t.Helper()
	destroy(t, c, topic)
	if err := c.EnsureTopics(t.Context(), events.FactTopics(), events.DueTopics(), block.Topics("flights")); err != nil {
		t.Fatal(err)
	}
}

func TestAFactTopicMadeAnewIsAnError(t *testing.T) {
	_, c := newFake(t)
	j := openJournal(t, c)
	if _, err := j.View(t.Context()); err != nil {
		t.Fatal(err)
	}
	remake(t, c, events.Collected{}.Topic())
	for range 2 {
		if _, err := j.View(t.Context()); err == nil || !strings.Contains(err.Error(), "made anew") {
			t.Fatalf("View says %v, want that the topic was made anew", err)
		}
	}
}

func TestAnotherClusterIsAnError(t *testing.T) {
	first, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.ClusterID("first"))
	if err != nil {
		t.Fatal(err)
	}
	c := connect(t, first)
	j := openJournal(t, c)
	claim := write(t, c, block.RawTopic("flights"), piece(0), 3, 100)
	addr := first.ListenAddrs()[0]
	first.Close()
	var port int
	if _, err := fmt.Sscanf(addr, "127.0.0.1:%d", &port); err != nil {
		t.Fatal(err)
	}
	second, err := kfake.NewCluster(kfake.Ports(port), kfake.ClusterID("second"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(second.Close)
	connect(t, second)
	if _, err := j.View(t.Context()); err == nil || !strings.Contains(err.Error(), `cluster "second"`) {
		t.Errorf("View says %v, want that another cluster answers", err)
	}
	if _, err := drain(c.Blocks().Read(t.Context(), claim)); err == nil {
		t.Error("blocks of another cluster are read")
	}
}

func TestOpenNamesTheBrokerThatDoesNotAnswer(t *testing.T) {
	_, err := Open(t.Context(), Config{Brokers: []string{"127.0.0.1:1"}, Dial: 300 * time.Millisecond, Now: time.Now})
	if err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("Open says %v", err)
	}
}

func TestEnsureTopicsNamesWhatIsWrong(t *testing.T) {
	tests := map[string]struct {
		partitions int32
		configs    map[string]*string
		says       string
	}{
		"too many partitions": {3, map[string]*string{"cleanup.policy": new("compact"), "max.message.bytes": new("99999999")}, "partitions 3"},
		"not compacted":       {1, map[string]*string{"max.message.bytes": new("99999999")}, "cleanup.policy"},
		"small messages":      {1, map[string]*string{"cleanup.policy": new("compact")}, "max.message.bytes"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, c := newFake(t)
			topic := "almanac.fact.other"
			if _, err := c.Admin.CreateTopic(t.Context(), tt.partitions, 1, tt.configs, topic); err != nil {
				t.Fatal(err)
			}
			for led(t, c, []string{topic}) == 0 {
				time.Sleep(10 * time.Millisecond)
			}
			if err := c.EnsureTopics(t.Context(), []string{topic}, nil, nil); err == nil || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), topic) {
				t.Errorf("EnsureTopics says %v, want %q", err, tt.says)
			}
		})
	}
}

func TestAReaderMayStopEarly(t *testing.T) {
	_, c := newFake(t)
	claim := write(t, c, block.RawTopic("flights"), piece(0), 40, 1<<20)
	for range c.Blocks().Read(t.Context(), claim) {
		break
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var err error
	for _, err = range c.Blocks().Read(ctx, claim) {
		cancel()
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled read ends with %v", err)
	}
}

func TestABrokerThatCannotWriteIsNamed(t *testing.T) {
	fake, c := newFake(t, kfake.NumBrokers(1))
	j := openJournal(t, c)
	fake.ControlKey(int16(kmsg.Produce), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		resp := kreq.ResponseKind().(*kmsg.ProduceResponse)
		for _, rt := range kreq.(*kmsg.ProduceRequest).Topics {
			t := kmsg.NewProduceResponseTopic()
			t.Topic, t.TopicID = rt.Topic, rt.TopicID
			for _, rp := range rt.Partitions {
				p := kmsg.NewProduceResponseTopicPartition()
				p.Partition, p.ErrorCode = rp.Partition, kerr.UnknownServerError.Code
				t.Partitions = append(t.Partitions, p)
			}
			resp.Topics = append(resp.Topics, t)
		}
		return resp, nil, true
	})
	err := j.Say(t.Context(), events.Collected{Piece: piece(0)})
	if err == nil || !strings.Contains(err.Error(), "disk") {
		t.Errorf("Say says %v", err)
	}
	a, err := c.Blocks().Open(t.Context(), block.RawTopic("flights"), piece(0))
	if err != nil {
		t.Fatal(err)
	}
	_ = a.Append(t.Context(), block.Block{Value: []byte("x")})
	if _, err := a.Claim(t.Context()); err == nil || !strings.Contains(err.Error(), "disk") {
		t.Errorf("Claim says %v", err)
	}
	if err := a.Append(t.Context(), block.Block{Value: []byte("x")}); err == nil {
		t.Error("Append goes on after a failure")
	}
}
