// Package block holds the form in which rows travel: blocks of 64 KiB to 1 MiB, one Kafka record each.
//
// A raw block holds source bytes cut at record ends, as one zstd frame; from process on a block is one Arrow IPC stream
// with one record batch. The i-th rows block of a slice was made from the i-th raw block of the slice.
package block

import (
	"context"
	"errors"
	"iter"

	"github.com/almanac-data/almanac/events"
)

// ErrAbsent says that the blocks a fact claims are not what it says: other bytes, fewer, or none. The fact counts as absent.
var ErrAbsent = errors.New("claimed blocks are absent")

// Block is one record of a block topic.
type Block struct {
	Piece    events.Piece
	Index    int             // of the raw block in its slice, from 0
	From     events.Position // where its first byte lies in the source; raw blocks only
	Rows     int64           // rows in the batch; 0 in raw blocks, whose records nobody has counted yet
	Fragment bool            // raw: the block does not end at a record end, the next one goes on with the same record
	Value    []byte
}

// Content types of the values.
const (
	ContentRaw   = "application/zstd"
	ContentArrow = "application/vnd.apache.arrow.stream"
)

// RawTopic carries the source bytes that collect cuts.
func RawTopic(dataset string) string { return "almanac.raw." + dataset }

// ProcessedTopic carries the rows that process parses.
func ProcessedTopic(dataset string) string { return "almanac.processed." + dataset }

// CleanTopic carries the rows that validate lets pass where it refuses some; else those of process are claimed again.
func CleanTopic(dataset string) string { return "almanac.clean." + dataset }

// QuarantineTopic carries the records that process and validate refuse.
func QuarantineTopic(dataset string) string { return "almanac.quarantine." + dataset }

// Topics lists the block topics of a dataset.
func Topics(dataset string) []string {
	return []string{RawTopic(dataset), ProcessedTopic(dataset), CleanTopic(dataset), QuarantineTopic(dataset)}
}

// Appender writes the blocks of one piece of work to one topic. Nothing it wrote exists until a fact claims it.
type Appender interface {
	// Append hands over one block, in order; it may return before the block is written. Value must not be changed afterwards.
	Append(ctx context.Context, b Block) error
	// Claim waits until every block is acknowledged and names them. An Appender without blocks gives an empty claim.
	Claim(ctx context.Context) (events.Claim, error)
	// Close lets go of what the appender holds. It does not undo anything.
	Close()
}

// Store is where blocks are kept: Kafka.
type Store interface {
	// Open starts to write blocks for a piece of work.
	Open(ctx context.Context, topic string, piece events.Piece) (Appender, error)
	// Read yields exactly the claimed blocks, in order. The last pair carries an error that wraps ErrAbsent when count or digest
	// are not as claimed, so a reader must not trust what it has seen before the sequence ends without an error.
	Read(ctx context.Context, claim events.Claim) iter.Seq2[Block, error]
}
