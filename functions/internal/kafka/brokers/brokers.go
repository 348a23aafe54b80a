// Package brokers tells how the servers of a Kafka cluster are, as who stops one of them must know it.
package brokers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/almanac-data/almanac/functions/internal/kafka/link"
)

// behind is how long a controller may not have asked the leader for records, and still counts as following.
const behind = 10 * time.Second

// Voter is a controller of the quorum.
type Voter struct {
	ID     int32         `json:"id"`
	Leads  bool          `json:"leads"`
	Silent time.Duration `json:"silent"` // since it last asked the leader for records; negative if it never did
}

// Report says how a cluster is. It is well if Problems has nothing.
type Report struct {
	Brokers []int32 `json:"brokers"`
	Voters  []Voter `json:"controllers"`
	// Partitions is how many there are, of all topics.
	Partitions int      `json:"partitions"`
	Problems   []string `json:"problems"`
}

// Look asks the cluster. The expected brokers, if any are named, must be there; each partition must have a leader and all its replicas in sync, and each
// controller must follow the leader of its quorum. Then any one server may stop, and what is written stays.
func Look(ctx context.Context, c *link.Cluster, expected []int32) (Report, error) {
	ctx, cancel := context.WithTimeout(ctx, link.AdminTimeout)
	defer cancel()
	meta, err := c.Admin.Metadata(ctx)
	if err != nil {
		return Report{}, fmt.Errorf("ask for brokers and partitions: %w", c.Explain(err, "Describe", ""))
	}
	quorum, err := ask(ctx, c)
	if err != nil {
		return Report{}, fmt.Errorf("ask for the quorum of controllers: %w", c.Explain(err, "Describe", ""))
	}
	return judge(meta, quorum, expected), nil
}

// ask asks for the quorum, which has the partition 0 of the topic of metadata.
func ask(ctx context.Context, c *link.Cluster) (kmsg.DescribeQuorumResponseTopicPartition, error) {
	req := kmsg.NewPtrDescribeQuorumRequest()
	topic := kmsg.NewDescribeQuorumRequestTopic()
	topic.Topic = "__cluster_metadata"
	topic.Partitions = append(topic.Partitions, kmsg.NewDescribeQuorumRequestTopicPartition())
	req.Topics = append(req.Topics, topic)
	var none kmsg.DescribeQuorumResponseTopicPartition
	resp, err := req.RequestWith(ctx, c.Facts)
	if err != nil {
		return none, err
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return none, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return none, errors.New("the answer has no quorum")
	}
	p := resp.Topics[0].Partitions[0]
	return p, kerr.ErrorForCode(p.ErrorCode)
}

func judge(meta kadm.Metadata, quorum kmsg.DescribeQuorumResponseTopicPartition, expected []int32) Report {
	r := Report{Brokers: meta.Brokers.NodeIDs()}
	slices.Sort(r.Brokers)
	bad := func(format string, args ...any) { r.Problems = append(r.Problems, fmt.Sprintf(format, args...)) }
	for _, id := range expected {
		if !slices.Contains(r.Brokers, id) {
			bad("broker %d is not there", id)
		}
	}
	for _, topic := range meta.Topics.Sorted() {
		for _, p := range topic.Partitions.Sorted() {
			r.Partitions++
			switch {
			case p.Leader < 0:
				bad("partition %d of %s has no leader", p.Partition, p.Topic)
			case len(p.ISR) < len(p.Replicas):
				bad("partition %d of %s has %d of %d replicas in sync", p.Partition, p.Topic, len(p.ISR), len(p.Replicas))
			}
		}
	}
	r.Voters = voters(quorum)
	for _, v := range r.Voters {
		if v.Silent < 0 || v.Silent > behind {
			bad("controller %d does not follow the leader of its quorum, %d", v.ID, quorum.LeaderID)
		}
	}
	if quorum.LeaderID < 0 {
		bad("the controllers have no leader")
	}
	return r
}

// voters are compared with the one that asked last, which is the leader itself: no clock but the leader's is in that.
func voters(quorum kmsg.DescribeQuorumResponseTopicPartition) (all []Voter) {
	var now int64
	for _, v := range quorum.CurrentVoters {
		now = max(now, v.LastFetchTimestamp)
	}
	for _, v := range quorum.CurrentVoters {
		silent := time.Duration(now-v.LastFetchTimestamp) * time.Millisecond
		switch {
		case v.ReplicaID == quorum.LeaderID:
			silent = 0
		case v.LastFetchTimestamp < 0:
			silent = -1
		}
		all = append(all, Voter{ID: v.ReplicaID, Leads: v.ReplicaID == quorum.LeaderID, Silent: silent})
	}
	return all
}
