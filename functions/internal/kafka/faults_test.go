package kafka

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/kafka/acl"
	"github.com/almanac-data/almanac/functions/internal/kafka/kafkatest"
)

// says wants an error that says each part, soon.
func says(t *testing.T, what string, began time.Time, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v, want it to say %q", what, err, part)
		}
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("%s: it took %s to say so", what, took)
	}
}

// TestWhoLacksARightIsToldWhich runs against the secured lab too.
func TestWhoLacksARightIsToldWhich(t *testing.T) {
	lab := kafkatest.Secured(t)
	admin, err := Open(t.Context(), lab.AdminConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	if err := admin.EnsureTopics(t.Context(), events.FactTopics(), events.DueTopics(), block.Topics("flights")); err != nil {
		t.Fatal(err)
	}
	claim := write(t, admin, block.RawTopic("flights"), piece(0), 3, 100)
	cfg := lab.UserConfig(t, "test-lacks")
	const user = "User:test-lacks"
	role := acl.Role{Name: "lacks", Rules: []acl.Rule{{Kind: "topic", Name: "almanac.", Prefix: true, Operations: []string{"Describe"}}}}
	if _, err := admin.Allow(t.Context(), role, user, true); err != nil {
		t.Fatal(err)
	}
	c, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for range 100 {
		if _, err = c.Lookup(t.Context(), claim.Topic); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	began := time.Now()
	_, err = drain(c.Blocks().Read(t.Context(), claim))
	says(t, "read blocks", began, err, "user test-lacks lacks the right to Read topic almanac.raw.flights", "almanac acls apply", "kafka-acls.sh --add --allow-principal User:test-lacks --operation Read")
	if errors.Is(err, block.ErrAbsent) {
		t.Error("blocks that may not be read count as absent: their fact would be taken back")
	}
	a, err := c.Blocks().Open(t.Context(), claim.Topic, piece(0))
	if err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	_ = a.Append(t.Context(), block.Block{Value: []byte("x")})
	_, err = a.Claim(t.Context())
	says(t, "write blocks", began, err, "test-lacks", "lacks the right to")
	j, err := c.Journal(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.Close)
	began = time.Now()
	_, err = j.View(t.Context())
	says(t, "view facts", began, err, "lacks the right to Read topic almanac.fact.")
	began = time.Now()
	says(t, "say a fact", began, j.Say(t.Context(), events.Collected{Piece: piece(0)}), "lacks the right to")
	began = time.Now()
	_, err = c.Feed(t.Context(), "almanac-process", []string{"almanac.fact.collected"}, quiet)
	says(t, "feed", began, err, "lacks the right to Read group almanac-process", "--group almanac-process")
	began = time.Now()
	says(t, "verify topics", began, c.VerifyTopics(t.Context(), events.FactTopics(), nil, nil), "lacks the right to DescribeConfigs topic")
	began = time.Now()
	says(t, "make topics", began, c.EnsureTopics(t.Context(), nil, nil, []string{"almanac.raw.new"}), "lacks the right to Create topic almanac.raw.new")
	began = time.Now()
	says(t, "trim", began, c.Trim(t.Context(), claim.Topic, claim.Partition, claim.To), "lacks the right to Delete topic")
	began = time.Now()
	_, err = c.Lookup(t.Context(), "foreign")
	says(t, "look up a foreign topic", began, err, "lacks the right to Describe topic foreign")
	if _, err := admin.Allow(t.Context(), acl.Role{Name: "none"}, user, true); err != nil {
		t.Error(err)
	}
}

func TestATopicThatIsMissingIsNamed(t *testing.T) {
	_, c := newFake(t)
	began := time.Now()
	_, err := c.Blocks().Open(t.Context(), "almanac.raw.missing", piece(0))
	says(t, "open blocks", began, err, "topic almanac.raw.missing", "does not exist", "almanac topics apply")
	destroy(t, c, events.Stored{}.Topic())
	_, err = c.Journal(t.Context(), "x")
	says(t, "open journal", began, err, events.Stored{}.Topic(), "almanac topics apply")
	found, err := c.CheckTopics(t.Context(), events.FactTopics(), nil, nil)
	if err != nil || len(found) != 1 || found[0].Topic != (events.Stored{}).Topic() || found[0].Setting != "existence" {
		t.Errorf("CheckTopics = %v, %v, want that %s is missing", found, err, events.Stored{}.Topic())
	}
}

func TestARecordThatIsTooLargeIsToldSo(t *testing.T) {
	_, c := newFake(t)
	topic := block.RawTopic("flights")
	unset(t, c, topic, "max.message.bytes")
	if _, err := c.Admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: new("1000")}}, topic); err != nil {
		t.Fatal(err)
	}
	a, err := c.Blocks().Open(t.Context(), topic, piece(0))
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	_ = a.Append(t.Context(), block.Block{Value: make([]byte, 5000)})
	_, err = a.Claim(t.Context())
	says(t, "append", began, err, topic, "max.message.bytes", "almanac topics check")
	says(t, "verify topics", began, c.VerifyTopics(t.Context(), nil, nil, []string{topic}), topic, "max.message.bytes 1000", "at least", "kafka-configs.sh")
}

func TestTooFewReplicasInSyncAreToldSo(t *testing.T) {
	fake, c := newFake(t, kfake.NumBrokers(1))
	fake.ControlKey(int16(kmsg.Produce), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		return refuse(kreq, kerr.NotEnoughReplicas), nil, true
	})
	cl, err := c.Client(kgo.RecordRetries(1))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	began := time.Now()
	err = cl.ProduceSync(t.Context(), &kgo.Record{Topic: block.RawTopic("flights"), Value: []byte("x")}).FirstErr()
	says(t, "produce", began, c.Unwritten(t.Context(), block.RawTopic("flights"), err), "in sync", "min.insync.replicas", "all brokers run")
}

// refuse answers every partition of a produce request by an error.
func refuse(kreq kmsg.Request, with *kerr.Error) kmsg.Response {
	resp := kreq.ResponseKind().(*kmsg.ProduceResponse)
	for _, rt := range kreq.(*kmsg.ProduceRequest).Topics {
		t := kmsg.NewProduceResponseTopic()
		t.Topic, t.TopicID = rt.Topic, rt.TopicID
		for _, rp := range rt.Partitions {
			p := kmsg.NewProduceResponseTopicPartition()
			p.Partition, p.ErrorCode = rp.Partition, with.Code
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

// TestEverySettingOfATopicIsCompared makes topics wrong in one way each, on a real broker too.
func TestEverySettingOfATopicIsCompared(t *testing.T) {
	fact, raw := events.Stored{}.Topic(), block.RawTopic("flights")
	for setting, wrong := range map[string]struct{ topic, key, value string }{
		"cleanup.policy of facts":      {fact, "cleanup.policy", "compact,delete"},
		"cleanup.policy of blocks":     {raw, "cleanup.policy", "compact"},
		"retention.ms":                 {raw, "retention.ms", "60000"},
		"retention.bytes":              {raw, "retention.bytes", "1000000"},
		"max.message.bytes":            {fact, "max.message.bytes", "1000000"},
		"min.insync.replicas too many": {raw, "min.insync.replicas", "4"},
		"unclean elections":            {raw, "unclean.leader.election.enable", "true"},
	} {
		t.Run(setting, func(t *testing.T) {
			fake, c := newFake(t)
			unset(t, c, wrong.topic, wrong.key)
			if _, err := c.Admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: wrong.key, Value: new(wrong.value)}}, wrong.topic); err != nil {
				t.Fatal(err)
			}
			if fake != nil && wrong.key == "unclean.leader.election.enable" {
				t.Skip("a fake does not know the setting")
			}
			var err error
			for range 100 { // brokers hear of it a moment later
				if err = c.EnsureTopics(t.Context(), events.FactTopics(), events.DueTopics(), block.Topics("flights")); err != nil {
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
			says(t, "EnsureTopics", time.Now(), err, "topic "+wrong.topic+" has "+wrong.key+" "+wrong.value, "kafka-configs.sh", "is needed")
		})
	}
	newFake(t) // a real broker gets its topics anew
}

// TestWhatIsMadeHasTheRightSettings asks the broker, not ourselves.
func TestWhatIsMadeHasTheRightSettings(t *testing.T) {
	_, c := newFake(t)
	_, n := copies(t, c)
	least := fmt.Sprintf("min.insync.replicas=%d", n)
	configs, err := c.Admin.DescribeTopicConfigs(t.Context(), events.Stored{}.Topic(), block.RawTopic("flights"))
	if err != nil {
		t.Fatal(err)
	}
	for topic, want := range map[string][]string{
		events.Stored{}.Topic():   {"cleanup.policy=compact", "max.message.bytes=8388608", least},
		block.RawTopic("flights"): {"cleanup.policy=delete", "max.message.bytes=33554432", least, "retention.ms=2592000000"},
	} {
		got, err := configs.On(topic, nil)
		if err != nil {
			t.Fatal(err)
		}
		var have []string
		for _, s := range got.Configs {
			have = append(have, s.Key+"="+s.MaybeValue())
		}
		for _, w := range want {
			if !slices.Contains(have, w) {
				t.Errorf("topic %s has not %s", topic, w)
			}
		}
	}
}
