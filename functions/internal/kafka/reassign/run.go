package reassign

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/almanac-data/almanac/functions/internal/kafka/link"
)

// How says how replicas are moved.
type How struct {
	// Throttle is how many bytes a second a broker may send, and take, of what is moved; 0 means as many as it can.
	Throttle int64
	// Plan only says what would be moved, beside what is moved already.
	Plan bool
	// Poll is how often the brokers are asked how far they are.
	Poll time.Duration
	// Tell is told how many partitions are under way, when that has changed.
	Tell func(left int)
}

// state is what a cluster says of itself.
type state struct {
	alive      []int32
	racks      bool // whether they are in several
	partitions []Partition
	moving     int // partitions that are moved now, which are not among them
}

// Balance gives brokers with few replicas those of brokers with many, and waits until they have them; see Spread. What an earlier run has begun is waited for first.
func Balance(ctx context.Context, c *link.Cluster, how How) ([]Move, error) {
	return run(ctx, c, how, func(s state) ([]Move, error) { return Spread(s.partitions, s.alive), nil })
}

// Empty takes all replicas off brokers, and waits until they have none; see Drain. Nothing is moved while a partition has a replica that is not in sync.
func Empty(ctx context.Context, c *link.Cluster, off []int32, how How) ([]Move, error) {
	moves, err := run(ctx, c, how, func(s state) ([]Move, error) { return Drain(s.partitions, s.alive, off) })
	if err != nil || how.Plan {
		return moves, err
	}
	return moves, gone(ctx, c, off, how.Poll)
}

// gone asks until brokers have nothing: each broker hears a moment later than the controller what was moved.
func gone(ctx context.Context, c *link.Cluster, off []int32, poll time.Duration) error {
	for asked := 1; ; asked++ {
		s, err := look(ctx, c)
		if err == nil {
			err = s.holding(off)
		}
		if err == nil || asked == 20 {
			return err
		}
		if err := link.Pause(ctx, poll); err != nil {
			return err
		}
	}
}

func run(ctx context.Context, c *link.Cluster, how How, plan func(state) ([]Move, error)) ([]Move, error) {
	if !how.Plan {
		if err := wait(ctx, c, how); err != nil {
			return nil, err
		}
	}
	s, err := look(ctx, c)
	if err != nil {
		return nil, err
	}
	moves, err := plan(s)
	if err != nil {
		return nil, err
	}
	if s.racks && len(moves) > 0 {
		return nil, errors.New("the brokers are in several racks (broker.rack), which this does not look at: move partitions with kafka-reassign-partitions.sh")
	}
	if how.Plan {
		return moves, nil
	}
	if len(moves) > 0 {
		if err := begin(ctx, c, moves, how.Throttle); err != nil {
			return moves, err
		}
		if err := wait(ctx, c, how); err != nil {
			return moves, err
		}
	}
	return moves, unthrottle(ctx, c)
}

// look asks where all lies. It refuses a cluster where a partition has a replica that is not in sync: what is moved then may be all there is.
func look(ctx context.Context, c *link.Cluster) (state, error) {
	ctx, cancel := context.WithTimeout(ctx, link.AdminTimeout)
	defer cancel()
	meta, err := c.Admin.Metadata(ctx)
	if err != nil {
		return state{}, fmt.Errorf("ask for brokers and partitions: %w", c.Explain(err, "Describe", ""))
	}
	s := state{alive: meta.Brokers.NodeIDs()}
	for _, b := range meta.Brokers {
		s.racks = s.racks || rack(b) != rack(meta.Brokers[0])
	}
	moving, err := underWay(ctx, c)
	if err != nil {
		return s, err
	}
	s.moving = len(moving)
	var short []string
	for _, topic := range meta.Topics.Sorted() {
		for _, p := range topic.Partitions.Sorted() {
			if moving[place{p.Topic, p.Partition}] {
				continue
			}
			if len(p.ISR) < len(p.Replicas) {
				short = append(short, fmt.Sprintf("partition %d of %s has %d of %d replicas in sync", p.Partition, p.Topic, len(p.ISR), len(p.Replicas)))
			}
			s.partitions = append(s.partitions, Partition{p.Topic, p.Partition, p.Replicas})
		}
	}
	if len(short) > 0 {
		return s, fmt.Errorf("%s: wait until all replicas are in sync, or bring back the broker that is away", strings.Join(short[:min(3, len(short))], ", "))
	}
	return s, nil
}

func rack(b kadm.BrokerDetail) string {
	if b.Rack == nil {
		return ""
	}
	return *b.Rack
}

// holding is an error if one of the brokers has a replica.
func (s state) holding(brokers []int32) error {
	if s.moving > 0 {
		return fmt.Errorf("%d partitions are moved now: wait until they have moved", s.moving)
	}
	for _, p := range s.partitions {
		for _, id := range brokers {
			if slices.Contains(p.Replicas, id) {
				return fmt.Errorf("broker %d has a replica of partition %d of %s: move it with almanac brokers drain %d", id, p.ID, p.Topic, id)
			}
		}
	}
	return nil
}

// begin throttles the brokers, and has the controller begin. A move goes on by itself from then on, also when nobody waits for it.
func begin(ctx context.Context, c *link.Cluster, moves []Move, throttle int64) error {
	ctx, cancel := context.WithTimeout(ctx, link.AdminTimeout)
	defer cancel()
	if throttle > 0 {
		if err := slow(ctx, c, moves, throttle); err != nil {
			return err
		}
	}
	var req kadm.AlterPartitionAssignmentsReq
	for _, m := range moves {
		req.Assign(m.Topic, m.ID, m.To)
	}
	resp, err := c.Admin.AlterPartitionAssignments(kadm.ForbidAlterRf(ctx), req)
	if err == nil {
		err = resp.Error()
	}
	if err != nil {
		return fmt.Errorf("move replicas of %d partitions: %w", len(moves), c.Explain(err, "Alter", ""))
	}
	return nil
}

// wait asks until nothing is moved any more.
func wait(ctx context.Context, c *link.Cluster, how How) error {
	for last := 0; ; {
		moving, err := underWay(ctx, c)
		left := len(moving)
		if err != nil || left == 0 {
			return err
		}
		if left != last {
			how.Tell(left)
			last = left
		}
		if err := link.Pause(ctx, how.Poll); err != nil {
			return fmt.Errorf("%d partitions are still under way; they go on by themselves, and the same command waits for them: %w", left, err)
		}
	}
}

// place names a partition.
type place struct {
	topic string
	id    int32
}

// underWay are the partitions that are moved now.
func underWay(ctx context.Context, c *link.Cluster) (map[place]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, link.AdminTimeout)
	defer cancel()
	resp, err := kmsg.NewPtrListPartitionReassignmentsRequest().RequestWith(ctx, c.Facts) // of all topics, which kadm does not ask for
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		return nil, fmt.Errorf("ask what is moved: %w", c.Explain(err, "Describe", ""))
	}
	moving := map[place]bool{}
	for _, topic := range resp.Topics {
		for _, p := range topic.Partitions {
			moving[place{topic.Topic, p.Partition}] = true
		}
	}
	return moving, nil
}

// Forget removes brokers that are stopped and hold nothing from the cluster's memory, and returns those that it knew.
func Forget(ctx context.Context, c *link.Cluster, brokers []int32) (known []int32, err error) {
	s, err := look(ctx, c)
	if err != nil {
		return nil, err
	}
	for _, id := range brokers {
		if slices.Contains(s.alive, id) {
			return nil, fmt.Errorf("broker %d still runs: stop it first", id)
		}
	}
	if err := s.holding(brokers); err != nil {
		return nil, err
	}
	for _, id := range brokers {
		req := kmsg.NewPtrUnregisterBrokerRequest()
		req.BrokerID = id
		resp, err := req.RequestWith(ctx, c.Facts)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		switch {
		case errors.Is(err, kerr.BrokerIDNotRegistered):
		case err != nil:
			return known, fmt.Errorf("forget broker %d: %w", id, c.Explain(err, "Alter", ""))
		default:
			known = append(known, id)
		}
	}
	return known, nil
}
