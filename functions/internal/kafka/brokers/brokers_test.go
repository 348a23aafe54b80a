package brokers

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// cluster is one of two brokers and three controllers, which is well.
func cluster() (kadm.Metadata, kmsg.DescribeQuorumResponseTopicPartition) {
	meta := kadm.Metadata{
		Brokers: kadm.BrokerDetails{{NodeID: 2}, {NodeID: 1}},
		Topics: kadm.TopicDetails{"t": {Topic: "t", Partitions: kadm.PartitionDetails{
			0: {Topic: "t", Partition: 0, Leader: 1, Replicas: []int32{1, 2}, ISR: []int32{1, 2}},
			1: {Topic: "t", Partition: 1, Leader: 2, Replicas: []int32{1, 2}, ISR: []int32{2, 1}},
		}}},
	}
	quorum := kmsg.DescribeQuorumResponseTopicPartition{LeaderID: 1}
	for id := range int32(3) {
		quorum.CurrentVoters = append(quorum.CurrentVoters, kmsg.DescribeQuorumResponseTopicPartitionReplicaState{ReplicaID: id + 1, LastFetchTimestamp: 1_000_000})
	}
	return meta, quorum
}

func TestWhatIsNotWellIsSaid(t *testing.T) {
	tests := map[string]struct {
		change func(*kadm.Metadata, *kmsg.DescribeQuorumResponseTopicPartition)
		want   []string
	}{
		"all is well": {func(*kadm.Metadata, *kmsg.DescribeQuorumResponseTopicPartition) {}, nil},
		"a broker is missing": {func(m *kadm.Metadata, _ *kmsg.DescribeQuorumResponseTopicPartition) {
			m.Brokers = m.Brokers[:1]
		}, []string{"broker 1 is not there"}},
		"a partition has no leader": {func(m *kadm.Metadata, _ *kmsg.DescribeQuorumResponseTopicPartition) {
			p := m.Topics["t"].Partitions[0]
			p.Leader, p.ISR = -1, nil
			m.Topics["t"].Partitions[0] = p
		}, []string{"partition 0 of t has no leader"}},
		"a replica is behind": {func(m *kadm.Metadata, _ *kmsg.DescribeQuorumResponseTopicPartition) {
			p := m.Topics["t"].Partitions[1]
			p.ISR = []int32{2}
			m.Topics["t"].Partitions[1] = p
		}, []string{"partition 1 of t has 1 of 2 replicas in sync"}},
		"a controller is silent for long": {func(_ *kadm.Metadata, q *kmsg.DescribeQuorumResponseTopicPartition) {
			q.CurrentVoters[2].LastFetchTimestamp -= 10_001
		}, []string{"controller 3 does not follow the leader of its quorum, 1"}},
		"a controller asked a moment ago": {func(_ *kadm.Metadata, q *kmsg.DescribeQuorumResponseTopicPartition) {
			q.CurrentVoters[2].LastFetchTimestamp -= 10_000
		}, nil},
		"a controller never asked": {func(_ *kadm.Metadata, q *kmsg.DescribeQuorumResponseTopicPartition) {
			q.CurrentVoters[1].LastFetchTimestamp = -1
		}, []string{"controller 2 does not follow the leader of its quorum, 1"}},
		"the leader tells no time of its own": {func(_ *kadm.Metadata, q *kmsg.DescribeQuorumResponseTopicPartition) {
			q.CurrentVoters[0].LastFetchTimestamp = -1
		}, nil},
		"no controller leads": {func(_ *kadm.Metadata, q *kmsg.DescribeQuorumResponseTopicPartition) { q.LeaderID = -1 }, []string{"the controllers have no leader"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			meta, quorum := cluster()
			tt.change(&meta, &quorum)
			got := judge(meta, quorum, []int32{1, 2})
			if !slices.Equal(got.Problems, tt.want) {
				t.Errorf("problems = %q, want %q", got.Problems, tt.want)
			}
			if got.Partitions != 2 || len(got.Voters) != 3 {
				t.Errorf("partitions and controllers = %d, %d, want 2, 3", got.Partitions, len(got.Voters))
			}
		})
	}
}
