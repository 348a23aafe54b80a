package kafka

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/kafka/letters"
)

// unset takes a setting back when the test ends: a Kafka 4.4.0 that was started again gave topics the settings that deleted ones of the same
// name had had.
func unset(t *testing.T, c *Cluster, topic, key string) {
	t.Helper()
	t.Cleanup(func() {
		if _, err := c.Admin.AlterTopicConfigs(context.Background(), []kadm.AlterConfig{{Op: kadm.DeleteConfig, Name: key}}, topic); err != nil {
			t.Error(err)
		}
	})
}

// alter sets a setting of a topic for as long as the test lasts, and waits until the broker says so.
func alter(t *testing.T, c *Cluster, topic, key, value string) {
	t.Helper()
	unset(t, c, topic, key)
	if _, err := c.Admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: key, Value: new(value)}}, topic); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		configs, err := c.Admin.DescribeTopicConfigs(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		on, err := configs.On(topic, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range on.Configs {
			if s.Key == key && s.MaybeValue() == value {
				return
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("%s of %s does not become %s", key, topic, value)
}

// TestMoreReplicasInSyncThanThereAreCopies wants two where there is one copy. A broker of Kafka 4.4 takes that for one and writes; it is told as
// a setting that is wrong, as older ones write nothing then.
func TestMoreReplicasInSyncThanThereAreCopies(t *testing.T) {
	_, c := newFake(t)
	topic := block.RawTopic("flights")
	if n, _ := copies(t, c); n > 1 {
		t.Skip("several brokers write nothing then")
	}
	alter(t, c, topic, "min.insync.replicas", "2")
	began := time.Now()
	says(t, "verify topics", began, c.VerifyTopics(t.Context(), nil, nil, []string{topic}), topic+" has min.insync.replicas 2 where 1 to 1 is needed", "kafka-configs.sh --bootstrap-server ")
	claim := write(t, c, topic, piece(0), 1, 100)
	if got, err := drain(c.Blocks().Read(t.Context(), claim)); err != nil || len(got) != 1 {
		t.Errorf("%d blocks, %v", len(got), err)
	}
	says(t, "a client whose time was over", began, c.Unwritten(t.Context(), topic, kgo.ErrRecordTimeout),
		"partition 0 of topic "+topic+" has 1 of 1 replicas in sync, and its min.insync.replicas is 2", "almanac topics check")
}

// TestTheCommandThatIsToldMends does what the command of each finding would, as the lab has no tool of Kafka's for it.
func TestTheCommandThatIsToldMends(t *testing.T) {
	_, c := newFake(t)
	fact, raw := events.Stored{}.Topic(), block.RawTopic("flights")
	alter(t, c, fact, "cleanup.policy", "delete")
	alter(t, c, fact, "max.message.bytes", "1000000")
	alter(t, c, raw, "retention.ms", "60000")
	alter(t, c, raw, "retention.bytes", "1000000")
	n, _ := copies(t, c)
	alter(t, c, raw, "min.insync.replicas", strconv.Itoa(n+1))
	check := func() []Finding {
		t.Helper()
		found, err := c.CheckTopics(t.Context(), events.FactTopics(), events.DueTopics(), block.Topics("flights"))
		if err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc(found, func(f Finding) bool { return f.Topic == letters.Topic }) // another test's
	}
	found := check()
	if len(found) != 5 {
		t.Errorf("%d findings, want 5: %v", len(found), found)
	}
	form := regexp.MustCompile(`^kafka-configs.sh --bootstrap-server (\S+) --alter --entity-type topics --entity-name (\S+) --add-config (\S+)=(\S+)$`)
	for _, f := range found {
		command := form.FindStringSubmatch(f.Do)
		if command == nil || command[1] != strings.Join(c.Config.Brokers, ",") {
			t.Fatalf("%s: what is to be done is no command: %s", f.Setting, f.Do)
		}
		alter(t, c, command[2], command[3], command[4])
	}
	if found = check(); len(found) != 0 {
		t.Errorf("after the commands were done: %v", found)
	}
}

// TestClaimsOfAnotherClusterAreRefused reads facts that name topics of a cluster that was formatted anew: names, partitions and offsets are
// there, and the blocks are others.
func TestClaimsOfAnotherClusterAreRefused(t *testing.T) {
	_, c := newFake(t)
	topic := block.RawTopic("flights")
	claim := write(t, c, topic, piece(0), 5, 1000)
	j := openJournal(t, c)
	if err := j.Say(t.Context(), events.Collected{Piece: piece(0), Raw: claim}); err != nil {
		t.Fatal(err)
	}
	if _, err := j.View(t.Context()); err != nil {
		t.Fatal(err)
	}
	names := append(append(events.FactTopics(), events.DueTopics()...), block.Topics("flights")...)
	destroy(t, c, names...)
	again := connectAgain(t, c)
	if err := again.EnsureTopics(t.Context(), events.FactTopics(), events.DueTopics(), block.Topics("flights")); err != nil {
		t.Fatal(err)
	}
	write(t, again, topic, piece(0), 5, 1000) // the same blocks, in the same place or not: no fact claims them
	for who, cluster := range map[string]*Cluster{"who was connected before": c, "who connects anew": again} {
		_, err := drain(cluster.Blocks().Read(t.Context(), claim))
		if !errors.Is(err, block.ErrAbsent) {
			t.Errorf("%s: %v, want that the blocks are absent", who, err)
		}
		says(t, who, time.Now(), err, "made anew, or this is another cluster", claim.TopicID, "has to be done again")
	}
	began := time.Now()
	_, err := j.View(t.Context())
	says(t, "a journal from before", began, err, "was made anew", "start again")
}
