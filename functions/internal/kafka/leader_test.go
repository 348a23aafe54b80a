package kafka

import (
	"net"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/facts"
)

// shown is the answer to a fetch by a broker that shows no record, but an error, if any, for each partition.
func shown(req *kmsg.FetchRequest, code int16) *kmsg.FetchResponse {
	answer := req.ResponseKind().(*kmsg.FetchResponse)
	for _, topic := range req.Topics {
		rt := kmsg.NewFetchResponseTopic()
		rt.Topic, rt.TopicID = topic.Topic, topic.TopicID
		for _, p := range topic.Partitions {
			rp := kmsg.NewFetchResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, code
			rt.Partitions = append(rt.Partitions, rp)
		}
		answer.Topics = append(answer.Topics, rt)
	}
	return answer
}

// fence answers two fetches as a broker that leads no more: since Kafka 2.4 it serves others as a follower, with less than was acknowledged, unless it is told in which epoch it
// is thought to lead. What comes back counts the fetches.
func fence(t *testing.T, fake *kfake.Cluster) *int {
	t.Helper()
	fenced := new(int)
	fake.ControlKey(int16(kmsg.Fetch), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		req := kreq.(*kmsg.FetchRequest)
		for _, topic := range req.Topics {
			for _, p := range topic.Partitions {
				if p.CurrentLeaderEpoch < 0 {
					t.Errorf("%s/%d is read from whoever has it", topic.Topic, p.Partition)
				}
			}
		}
		if *fenced++; *fenced > 2 {
			return nil, nil, false
		}
		return shown(req, kerr.FencedLeaderEpoch.Code), nil, true
	})
	return fenced
}

func TestAViewWantsWhoLeadsNow(t *testing.T) {
	fake, c := newFake(t, kfake.NumBrokers(1))
	j := openJournal(t, c)
	if err := j.Say(t.Context(), events.Processed{Piece: piece(0)}); err != nil {
		t.Fatal(err)
	}
	fenced := fence(t, fake)
	v, err := j.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := facts.Get[events.Processed](v, piece(0)); !ok || *fenced < 3 {
		t.Errorf("after %d answers the fact is there: %v", *fenced, ok)
	}
}

// young answers as a broker that has just begun to lead: it does not say where its log ends the first two times that it is asked, and shows nothing until it does. What comes
// back counts how often it was asked.
func young(t *testing.T, fake *kfake.Cluster) *int {
	t.Helper()
	asked := new(int)
	fake.ControlKey(int16(kmsg.ListOffsets), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		if *asked++; *asked > 2 {
			return nil, nil, false
		}
		answer := kreq.ResponseKind().(*kmsg.ListOffsetsResponse)
		for _, topic := range kreq.(*kmsg.ListOffsetsRequest).Topics {
			rt := kmsg.NewListOffsetsResponseTopic()
			rt.Topic = topic.Topic
			for _, p := range topic.Partitions {
				rp := kmsg.NewListOffsetsResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p.Partition, kerr.OffsetNotAvailable.Code
				rt.Partitions = append(rt.Partitions, rp)
			}
			answer.Topics = append(answer.Topics, rt)
		}
		return answer, nil, true
	})
	fake.ControlKey(int16(kmsg.Fetch), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		if *asked > 2 {
			return nil, nil, false
		}
		return shown(kreq.(*kmsg.FetchRequest), 0), nil, true
	})
	return asked
}

func TestAViewWaitsUntilANewLeaderTellsOfAll(t *testing.T) {
	fake, c := newFake(t, kfake.NumBrokers(1))
	j := openJournal(t, c)
	asked := young(t, fake)
	for range 2 {
		if _, err := j.View(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if *asked != 3 {
		t.Errorf("the broker was asked %d times, want 3: until it knew, and no more", *asked)
	}
}

func TestBlocksThatANewLeaderDoesNotShowYetAreThere(t *testing.T) {
	fake, c := newFake(t, kfake.NumBrokers(1))
	claim := write(t, c, block.RawTopic("flights"), piece(0), 3, 1000)
	asked := young(t, fake)
	if got, err := drain(c.Blocks().Read(t.Context(), claim)); err != nil || len(got) != 3 || *asked != 3 {
		t.Errorf("after %d questions %d blocks are there, %v", *asked, len(got), err)
	}
}

func TestWhereALogEndsIsKnownOnceANewLeaderKnows(t *testing.T) {
	fake, c := newFake(t, kfake.NumBrokers(1))
	claim := write(t, c, block.RawTopic("flights"), piece(0), 3, 1000)
	young(t, fake)
	ranges, err := c.Ranges(t.Context(), claim.Topic)
	if err != nil || ranges[claim.Partition] != (Range{End: 3}) {
		t.Errorf("the log has %v, %v", ranges, err)
	}
}

func TestDeadLettersComeFromWhoLeadsNow(t *testing.T) {
	fake, c := newFake(t, kfake.NumBrokers(1))
	if err := c.Bury(t.Context(), letter("a")); err != nil {
		t.Fatal(err)
	}
	fenced := fence(t, fake)
	if d, err := c.DeadLetter(t.Context(), 0, 0); err != nil || string(d.Data) != "a" || *fenced != 3 {
		t.Errorf("after %d answers the dead letter is %+v, %v", *fenced, d, err)
	}
}

// TestABrokerThatHasNotHeardOfATopicIsNotBelieved answers for a moment as a broker that is behind the controller.
func TestABrokerThatHasNotHeardOfATopicIsNotBelieved(t *testing.T) {
	fake, c := newFake(t, kfake.NumBrokers(1))
	claim := write(t, c, block.RawTopic("flights"), piece(0), 3, 1000)
	fence(t, fake) // so that it is asked for the leader
	behind := 0
	fake.ControlKey(int16(kmsg.Metadata), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		req := kreq.(*kmsg.MetadataRequest)
		if len(req.Topics) == 0 || behind == 1 {
			return nil, nil, false
		}
		behind++
		answer := kreq.ResponseKind().(*kmsg.MetadataResponse)
		host, port, err := net.SplitHostPort(fake.ListenAddrs()[0])
		if err != nil {
			return nil, err, true
		}
		number, err := strconv.Atoi(port)
		if err != nil {
			return nil, err, true
		}
		broker := kmsg.NewMetadataResponseBroker()
		broker.Host, broker.Port = host, int32(number)
		answer.Brokers = append(answer.Brokers, broker)
		for _, topic := range req.Topics {
			rt := kmsg.NewMetadataResponseTopic()
			rt.Topic, rt.ErrorCode = topic.Topic, kerr.UnknownTopicOrPartition.Code
			answer.Topics = append(answer.Topics, rt)
		}
		return answer, nil, true
	})
	if got, err := drain(c.Blocks().Read(t.Context(), claim)); err != nil || len(got) != 3 || behind != 1 {
		t.Errorf("after %d answers %d blocks are there, %v", behind, len(got), err)
	}
}
