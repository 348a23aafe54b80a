package topics_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/almanac-data/almanac/functions/internal/kafka/kafkatest"
	"github.com/almanac-data/almanac/functions/internal/kafka/link"
	"github.com/almanac-data/almanac/functions/internal/kafka/topics"
)

// TestABrokerThatLearnsLateIsAskedAgain makes a topic that the broker which is asked for its settings does not know for two questions.
func TestABrokerThatLearnsLateIsAskedAgain(t *testing.T) {
	fake, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	asked := 0
	fake.ControlKey(int16(kmsg.DescribeConfigs), func(req kmsg.Request) (kmsg.Response, error, bool) {
		if asked++; asked <= 2 {
			fake.KeepControl()
		}
		if asked > 2 {
			return nil, nil, false
		}
		answer := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
		for _, r := range req.(*kmsg.DescribeConfigsRequest).Resources {
			unknown := kmsg.NewDescribeConfigsResponseResource()
			unknown.ResourceType, unknown.ResourceName, unknown.ErrorCode = r.ResourceType, r.ResourceName, kerr.UnknownTopicOrPartition.Code
			answer.Resources = append(answer.Resources, unknown)
		}
		return answer, nil, true
	})
	c := kafkatest.Open(t, link.Config{Brokers: fake.ListenAddrs(), Now: time.Now})
	if err := topics.Ensure(t.Context(), c, topics.Names{Blocks: []string{"almanac.raw.shop"}}); err != nil {
		t.Error(err)
	}
	if asked != 3 {
		t.Errorf("the broker was asked %d times, want 3", asked)
	}
}

// TestATopicThatAsItTurnsOutWasDeletedIsMade has a broker show a topic without leaders that is gone, twice.
func TestATopicThatAsItTurnsOutWasDeletedIsMade(t *testing.T) {
	const gone = "almanac.raw.shop"
	fake, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	asked, made := 0, 0
	fake.ControlKey(int16(kmsg.CreateTopics), func(req kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		for _, topic := range req.(*kmsg.CreateTopicsRequest).Topics {
			if topic.Topic == gone {
				made++
			}
		}
		return nil, nil, false
	})
	fake.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		names := req.(*kmsg.MetadataRequest).Topics
		if len(names) == 0 {
			return nil, nil, false
		}
		if asked++; asked > 2 {
			return nil, nil, false
		}
		answer := req.ResponseKind().(*kmsg.MetadataResponse)
		for _, name := range names {
			topic := kmsg.NewMetadataResponseTopic()
			topic.Topic, topic.ErrorCode = name.Topic, kerr.UnknownTopicOrPartition.Code
			if *name.Topic == gone {
				topic.ErrorCode, topic.Partitions = kerr.LeaderNotAvailable.Code, []kmsg.MetadataResponseTopicPartition{{Leader: -1}}
			}
			answer.Topics = append(answer.Topics, topic)
		}
		return answer, nil, true
	})
	c := kafkatest.Open(t, link.Config{Brokers: fake.ListenAddrs(), Now: time.Now})
	if err := topics.Ensure(t.Context(), c, topics.Names{Blocks: []string{gone}}); err != nil {
		t.Error(err)
	}
	if made != 1 {
		t.Errorf("%s was made %d times, want once", gone, made)
	}
}
