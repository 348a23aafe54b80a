package reassign

import (
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/almanac-data/almanac/functions/internal/kafka/link"
)

// fake is a cluster of three brokers that have a topic of three copies, and of a fourth that has nothing. It says of itself what a cluster with several brokers would.
type fake struct {
	*kfake.Cluster

	mu         sync.Mutex
	partitions [][]int32 // replicas of each
	asked      []kmsg.AlterPartitionAssignmentsRequestTopic
	lies       bool     // whether it takes moves and does none
	away       bool     // whether the last replica of the first partition is not in sync
	kept       bool     // whether the number of replicas may not change
	left       int      // how many more times a move is under way when that is asked
	said       []string // what was done, in order
}

func openFake(t *testing.T) (*fake, *link.Cluster) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.SeedTopics(8, "rows"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	if _, _, err := cluster.AddNode(3, 0); err != nil {
		t.Fatal(err)
	}
	f := &fake{Cluster: cluster, left: 2}
	for id := range int32(8) {
		f.partitions = append(f.partitions, []int32{id % 3, (id + 1) % 3, (id + 2) % 3})
	}
	f.watch(t)
	c, err := link.Open(t.Context(), link.Config{Brokers: cluster.ListenAddrs(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return f, c
}

// watch notes what is asked, and answers what is under way.
func (f *fake) watch(t *testing.T) {
	f.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		f.KeepControl()
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.metadata(t, req), nil, true
	})
	f.ControlKey(int16(kmsg.AlterPartitionAssignments), func(req kmsg.Request) (kmsg.Response, error, bool) {
		f.KeepControl()
		f.mu.Lock()
		defer f.mu.Unlock()
		r, _ := req.(*kmsg.AlterPartitionAssignmentsRequest)
		f.asked, f.kept, f.said = append(f.asked, r.Topics...), !r.AllowReplicationFactorChange, append(f.said, "move")
		resp, _ := req.ResponseKind().(*kmsg.AlterPartitionAssignmentsResponse)
		for _, topic := range r.Topics {
			done := kmsg.AlterPartitionAssignmentsResponseTopic{Topic: topic.Topic}
			for _, p := range topic.Partitions {
				done.Partitions = append(done.Partitions, kmsg.AlterPartitionAssignmentsResponseTopicPartition{Partition: p.Partition})
			}
			resp.Topics = append(resp.Topics, done)
		}
		return resp, nil, true
	})
	f.ControlKey(int16(kmsg.IncrementalAlterConfigs), func(req kmsg.Request) (kmsg.Response, error, bool) {
		f.KeepControl()
		f.mu.Lock()
		defer f.mu.Unlock()
		r, _ := req.(*kmsg.IncrementalAlterConfigsRequest)
		for _, res := range r.Resources {
			for _, conf := range res.Configs {
				f.said = append(f.said, map[kmsg.IncrementalAlterConfigOp]string{0: "set", 1: "remove"}[conf.Op]+" "+conf.Name)
			}
		}
		return nil, nil, false
	})
	f.ControlKey(int16(kmsg.ListPartitionReassignments), func(req kmsg.Request) (kmsg.Response, error, bool) {
		f.KeepControl()
		f.mu.Lock()
		defer f.mu.Unlock()
		resp, _ := req.ResponseKind().(*kmsg.ListPartitionReassignmentsResponse)
		if f.asked != nil && f.left == 0 && !f.lies {
			for _, p := range f.asked[0].Partitions {
				f.partitions[p.Partition] = p.Replicas
			}
		}
		if f.asked != nil && f.left > 0 {
			f.left--
			resp.Topics = []kmsg.ListPartitionReassignmentsResponseTopic{{Topic: "rows", Partitions: []kmsg.ListPartitionReassignmentsResponseTopicPartition{{Partition: 0}}}}
		}
		return resp, nil, true
	})
}

func (f *fake) metadata(t *testing.T, req kmsg.Request) *kmsg.MetadataResponse {
	resp, _ := req.ResponseKind().(*kmsg.MetadataResponse)
	resp.ControllerID = 0
	for id, address := range f.ListenAddrs() {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Error(err)
		}
		number, err := strconv.ParseInt(port, 10, 32)
		if err != nil {
			t.Error(err)
		}
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID, b.Host, b.Port = int32(id), host, int32(number)
		resp.Brokers = append(resp.Brokers, b)
	}
	topic := kmsg.NewMetadataResponseTopic()
	topic.Topic = new("rows")
	for id, replicas := range f.partitions {
		p := kmsg.NewMetadataResponseTopicPartition()
		p.Partition, p.Leader, p.Replicas, p.ISR = int32(id), replicas[0], replicas, replicas
		if f.away && id == 0 {
			p.ISR = replicas[:2]
		}
		topic.Partitions = append(topic.Partitions, p)
	}
	resp.Topics = append(resp.Topics, topic)
	return resp
}

func TestBalanceThrottlesMovesAndWaits(t *testing.T) {
	f, c := openFake(t)
	var told []int
	moves, err := Balance(t.Context(), c, How{Throttle: 1000, Poll: time.Millisecond, Tell: func(left int) { told = append(told, left) }})
	if err != nil {
		t.Fatal(err)
	}
	if len(moves) != 6 || len(f.asked) != 1 || len(f.asked[0].Partitions) != 6 || !f.kept { // 24 replicas on four brokers
		t.Errorf("%d partitions are moved, by %v, the number of replicas is kept: %v, want 6 in one request, and kept", len(moves), f.asked, f.kept)
	}
	for _, m := range moves {
		if !slices.Contains(m.To, 3) || slices.Contains(m.Replicas, 3) {
			t.Errorf("%v is not moved to the new broker", m)
		}
	}
	if f.left != 0 || !slices.Equal(told, []int{1}) {
		t.Errorf("it stopped with %d answers left, and told %v, want that it waits until nothing is under way", f.left, told)
	}
	at := slices.Index(f.said, "move")
	for _, name := range slices.Concat(rates, replicas) {
		set, removed := slices.Index(f.said, "set "+name), slices.Index(f.said, "remove "+name)
		if set < 0 || set > at || removed < at {
			t.Errorf("%s is not set before and removed after the move: %q", name, f.said)
		}
	}
}

// TestAPlanLeavesOutWhatIsMoved plans while a run that was killed has left partitions under way.
func TestAPlanLeavesOutWhatIsMoved(t *testing.T) {
	f, c := openFake(t)
	f.asked, f.left, f.away = []kmsg.AlterPartitionAssignmentsRequestTopic{}, 9, true
	moves, err := Empty(t.Context(), c, []int32{0}, How{Plan: true})
	if err != nil || len(moves) != 7 || slices.ContainsFunc(moves, func(m Move) bool { return m.ID == 0 }) {
		t.Errorf("Empty = %v, %v, want the 7 partitions that are not under way", moves, err)
	}
}

func TestAPlanChangesNothing(t *testing.T) {
	f, c := openFake(t)
	if moves, err := Balance(t.Context(), c, How{Plan: true}); err != nil || len(moves) != 6 || len(f.said) > 0 {
		t.Errorf("Balance = %d moves, %v, and did %q, want 6 and nothing done", len(moves), err, f.said)
	}
}

func TestEmptyLooksForItself(t *testing.T) {
	for name, tt := range map[string]struct {
		lies bool
		says string
	}{
		"all is moved": {false, ""},
		"the cluster says so, and it is not moved": {true, "broker 0 has a replica of partition"},
	} {
		t.Run(name, func(t *testing.T) {
			f, c := openFake(t)
			f.lies = tt.lies
			moves, err := Empty(t.Context(), c, []int32{0}, How{Poll: 20 * time.Millisecond, Tell: func(int) {}})
			if len(moves) != 8 || (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Empty = %d moves, %v, want 8 and %q", len(moves), err, tt.says)
			}
		})
	}
}

// TestNothingIsMovedWhileAReplicaIsAway has a partition whose third replica is not in sync.
func TestNothingIsMovedWhileAReplicaIsAway(t *testing.T) {
	f, c := openFake(t)
	f.away = true
	if moves, err := Balance(t.Context(), c, How{Poll: time.Millisecond}); err == nil || !strings.Contains(err.Error(), "partition 0 of rows has 2 of 3 replicas in sync") || len(f.said) > 0 {
		t.Errorf("Balance = %d moves, %v, and did %q, want it to refuse", len(moves), err, f.said)
	}
}

func TestForgetRefusesWhatIsUsed(t *testing.T) {
	_, c := openFake(t)
	if _, err := Forget(t.Context(), c, []int32{0}); err == nil || !strings.Contains(err.Error(), "broker 0 still runs: stop it first") {
		t.Errorf("Forget = %v, want it to refuse a broker that runs", err)
	}
}
