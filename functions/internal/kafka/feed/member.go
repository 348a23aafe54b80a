package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/almanac-data/almanac/functions/internal/kafka/link"
)

// Session is how long a member may be silent until the others take its partitions.
const Session = 15 * time.Second

// Member is a Feed that shares the partitions of its topics with the other members of its group: where one ends, or is silent for the
// session, the others go on from what it committed. So each record is handed out at least once, and mostly once. Close ends it.
type Member struct {
	c     *link.Cluster
	cl    *kgo.Client
	group string
	log   *slog.Logger

	mu   sync.Mutex
	term int
	own  map[link.Place]int // the term in which each partition was got
}

// Join starts to read as a member of a group, from the same offsets that Open would; a session of 0 is Session.
func Join(c *link.Cluster, group string, topics []string, session time.Duration, log *slog.Logger) (*Member, error) {
	if session == 0 {
		session = Session
	}
	m := &Member{c: c, group: group, log: log, own: map[link.Place]int{}}
	var err error
	m.cl, err = c.Client(
		kgo.ConsumerGroup(group), kgo.ConsumeTopics(topics...), kgo.DisableAutoCommit(), kgo.FetchMaxBytes(fetchBytes), kgo.FetchMaxWait(fetchWait),
		kgo.SessionTimeout(session), kgo.HeartbeatInterval(session/5), kgo.AdjustFetchOffsetsFn(m.adjust),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, got map[string][]int32) { m.hold(got, true) }),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, gone map[string][]int32) { m.hold(gone, false) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, gone map[string][]int32) { m.hold(gone, false) }),
	)
	if err != nil {
		return nil, fmt.Errorf("join %s: %w", group, err)
	}
	return m, nil
}

func (m *Member) hold(partitions map[string][]int32, own bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.term++
	for topic, ps := range partitions {
		for _, p := range ps {
			if own {
				m.own[link.Place{Topic: topic, Partition: p}] = m.term
			} else {
				delete(m.own, link.Place{Topic: topic, Partition: p})
			}
		}
	}
}

// adjust names the offset of each partition that this member has got: no client looks for one by itself.
func (m *Member) adjust(ctx context.Context, got map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	from := map[string]map[int32]kgo.Offset{}
	for topic, partitions := range got {
		at, err := starts(ctx, m.c, m.group, []string{topic}, m.log)
		if err != nil {
			return nil, fmt.Errorf("feed %s: %w", m.group, err)
		}
		maps.DeleteFunc(at[topic], func(p int32, _ kgo.Offset) bool { _, ok := partitions[p]; return !ok })
		from[topic] = at[topic]
	}
	return from, nil
}

// Holds says whether the partition of a record is still this member's, and was all the time since Next gave it out. If not, the record is
// another's to pass on.
func (m *Member) Holds(r Record) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return r.Term > 0 && m.own[r.Place] == r.Term
}

// taken are the records of fetches whose partitions this member has.
func (m *Member) taken(fetches kgo.Fetches) []Record {
	records := recordsOf(fetches)
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range records {
		records[i].Term = m.own[records[i].Place]
	}
	return slices.DeleteFunc(records, func(r Record) bool { return r.Term == 0 })
}

// Next waits for records. An error may pass: call it again.
func (m *Member) Next(ctx context.Context) ([]Record, error) {
	fetches := m.cl.PollRecords(ctx, feedBatch)
	if err := ctx.Err(); err != nil && fetches.NumRecords() == 0 {
		return nil, err
	}
	if records := m.taken(fetches); len(records) > 0 {
		return records, nil // an error comes again
	}
	var errs []error
	fetches.EachError(func(topic string, partition int32, err error) {
		if errors.Is(err, kerr.OffsetOutOfRange) {
			err = m.restart(ctx, topic, partition)
		}
		if err != nil {
			err = m.c.ExplainGroup(err, m.group, topic)
			errs = append(errs, fmt.Errorf("feed %s: %s/%d: %w", m.group, topic, partition, err))
		}
	})
	return nil, errors.Join(errs...)
}

// restart begins anew with a partition whose records were trimmed under the reader.
func (m *Member) restart(ctx context.Context, topic string, partition int32) error {
	ranges, err := m.c.Ranges(ctx, topic)
	if err != nil {
		return err
	}
	if int(partition) >= len(ranges) {
		return link.ErrNoTopic
	}
	start := ranges[partition].Start
	m.log.WarnContext(ctx, "offset is outside the log, starting over", "group", m.group, "topic", topic, "partition", partition, "start", start)
	m.cl.SetOffsets(map[string]map[int32]kgo.EpochOffset{topic: {partition: {Epoch: -1, Offset: start}}})
	return nil
}

// Commit notes for the group which offset of each place comes next. Places that another member has by now are passed over: they are its
// affair.
func (m *Member) Commit(ctx context.Context, next map[link.Place]int64) error {
	ctx, cancel := context.WithTimeout(ctx, link.AdminTimeout)
	defer cancel()
	offsets := map[string]map[int32]kgo.EpochOffset{}
	m.mu.Lock()
	for place, at := range next {
		if m.own[place] == 0 {
			continue
		}
		if offsets[place.Topic] == nil {
			offsets[place.Topic] = map[int32]kgo.EpochOffset{}
		}
		offsets[place.Topic][place.Partition] = kgo.EpochOffset{Epoch: -1, Offset: at}
	}
	m.mu.Unlock()
	if len(offsets) == 0 {
		return nil
	}
	var failed error
	m.cl.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		failed = err
		if resp == nil {
			return
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				failed = errors.Join(failed, kerr.ErrorForCode(p.ErrorCode))
			}
		}
	})
	if failed != nil {
		return fmt.Errorf("feed %s: commit offsets: %w", m.group, m.c.ExplainGroup(failed, m.group, ""))
	}
	return nil
}

// Close leaves the group, so that the others take over at once.
func (m *Member) Close() { m.cl.Close() }
