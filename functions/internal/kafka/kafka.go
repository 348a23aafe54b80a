// Package kafka keeps facts and blocks in Apache Kafka, or in anything that speaks its protocol. It is the door to the packages below it.
//
// Nothing here rests on transactions, on the offsets of consumer groups, or on a position that is found by looking:
// facts are read whole, blocks are read where a claim says that they lie, and what is not there is an error.
package kafka

import (
	"context"
	"iter"
	"log/slog"

	"github.com/almanac-data/almanac/functions/internal/kafka/blocks"
	"github.com/almanac-data/almanac/functions/internal/kafka/fault"
	"github.com/almanac-data/almanac/functions/internal/kafka/feed"
	"github.com/almanac-data/almanac/functions/internal/kafka/journal"
	"github.com/almanac-data/almanac/functions/internal/kafka/letters"
	"github.com/almanac-data/almanac/functions/internal/kafka/link"
	"github.com/almanac-data/almanac/functions/internal/kafka/topics"
)

type (
	// Config is link.Config.
	Config = link.Config
	// Place is link.Place.
	Place = link.Place
	// Range is link.Range.
	Range = link.Range
	// Record is feed.Record.
	Record = feed.Record
	// Header is feed.Header.
	Header = feed.Header
	// Feed is feed.Feed.
	Feed = feed.Feed
	// Member is feed.Member.
	Member = feed.Member
	// Journal is journal.Journal.
	Journal = journal.Journal
	// DeadLetter is letters.Letter.
	DeadLetter = letters.Letter
	// Finding is topics.Finding.
	Finding = topics.Finding
)

// Cluster is a connection to Kafka. It is safe for concurrent use; Close ends it.
type Cluster struct{ *link.Cluster }

// Open connects to a cluster. The error names the address that did not answer, or says why this client is not let in.
func Open(ctx context.Context, cfg Config) (*Cluster, error) {
	c, err := link.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &Cluster{c}, nil
}

// Passing says whether what failed may succeed a little later, by itself; else a person must mend it.
func Passing(err error) bool { return fault.Passing(err) }

// Journal opens the journal of all facts and dues; see journal.Open.
func (c *Cluster) Journal(ctx context.Context, function string) (*Journal, error) {
	return journal.Open(ctx, c.Cluster, function)
}

// Blocks returns the store of blocks.
func (c *Cluster) Blocks() blocks.Blocks { return blocks.New(c.Cluster) }

// Feed starts to read topics of hints for a group; see feed.Open.
func (c *Cluster) Feed(ctx context.Context, group string, names []string, log *slog.Logger) (*Feed, error) {
	return feed.Open(ctx, c.Cluster, group, names, log)
}

// Join starts to read topics of hints as a member of a group; see feed.Join.
func (c *Cluster) Join(group string, names []string, log *slog.Logger) (*Member, error) {
	return feed.Join(c.Cluster, group, names, 0, log)
}

// Spread copies what a member gets to the partitions of another topic until ctx ends; see feed.Spread.
func (c *Cluster) Spread(ctx context.Context, from *Member, to string, tell func(error)) error {
	return feed.Spread(ctx, c.Cluster, from, to, tell)
}

// Lag is how many records of the topics a group has not committed yet.
func (c *Cluster) Lag(ctx context.Context, group string, names []string) (int64, error) {
	return feed.Lag(ctx, c.Cluster, group, names)
}

// EnsureTopics makes the topics that are missing, and compares those that exist with what is needed; see topics.Ensure.
func (c *Cluster) EnsureTopics(ctx context.Context, facts, dues, blocks []string, wakes ...string) error {
	return topics.Ensure(ctx, c.Cluster, topics.Names{Facts: facts, Dues: dues, Blocks: blocks, Wakes: wakes})
}

// VerifyTopics is an error that holds every finding about topics that exist.
func (c *Cluster) VerifyTopics(ctx context.Context, facts, dues, blocks []string, wakes ...string) error {
	return topics.Verify(ctx, c.Cluster, topics.Names{Facts: facts, Dues: dues, Blocks: blocks, Wakes: wakes})
}

// CheckTopics lists what of the topics is not as it must be, those that are missing included.
func (c *Cluster) CheckTopics(ctx context.Context, facts, dues, blocks []string, wakes ...string) ([]Finding, error) {
	return topics.Check(ctx, c.Cluster, topics.Names{Facts: facts, Dues: dues, Blocks: blocks, Wakes: wakes})
}

// Bury appends a dead letter to its topic. Partition, Offset and Time are not looked at.
func (c *Cluster) Bury(ctx context.Context, d DeadLetter) error {
	return letters.Bury(ctx, c.Cluster, d)
}

// LetterBox takes the events that a function gives up; see letters.Box.
func (c *Cluster) LetterBox(function string) letters.Box { return letters.NewBox(c.Cluster, function) }

// DeadLetters yields the dead letters that are there now, oldest first.
func (c *Cluster) DeadLetters(ctx context.Context) iter.Seq2[DeadLetter, error] {
	return letters.All(ctx, c.Cluster)
}

// DeadLetter finds one by its place.
func (c *Cluster) DeadLetter(ctx context.Context, partition int32, offset int64) (DeadLetter, error) {
	return letters.Find(ctx, c.Cluster, partition, offset)
}
