package blocks

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/kafka/fetch"
	"github.com/almanac-data/almanac/functions/internal/kafka/link"
	"github.com/almanac-data/almanac/functions/internal/kafka/wire"
)

// fetchTries is how often a fetch that may go better is tried.
const fetchTries = 8

// Read yields exactly the claimed blocks.
func (b Blocks) Read(ctx context.Context, claim events.Claim) iter.Seq2[block.Block, error] {
	return func(yield func(block.Block, error) bool) {
		digest, blocks := block.NewDigest(), 0
		for blk, err := range b.found(ctx, claim) {
			if err == nil {
				digest.Add(blk.Value)
				blocks++
			}
			if !yield(blk, err) || err != nil {
				return
			}
		}
		if err := matches(claim, blocks, digest.String()); err != nil {
			yield(block.Block{}, err)
		}
	}
}

// found yields the blocks that lie where the claim says, whatever they are. It asks for the records of the claimed range of the
// claimed topic id and passes over those of other writers; one answer is read ahead. Nothing comes after an error.
func (b Blocks) found(ctx context.Context, claim events.Claim) iter.Seq2[block.Block, error] {
	return func(yield func(block.Block, error) bool) {
		if claim.Blocks <= 0 {
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		answers := b.ahead(ctx, claim)
		defer func() {
			cancel()
			for range answers { // waits for the reader
			}
		}()
		for a := range answers {
			for _, r := range a.Records {
				if r.Offset >= claim.To || wire.Header(r, headWriter) != claim.Writer {
					continue
				}
				blk, err := parse(r)
				if err != nil {
					blk, err = block.Block{}, fmt.Errorf("read %s/%d, offset %d: %w: %w", claim.Topic, claim.Partition, r.Offset, block.ErrAbsent, err)
				}
				if !yield(blk, err) || err != nil {
					return
				}
			}
			if a.Err != nil {
				yield(block.Block{}, a.Err)
				return
			}
		}
		if ctx.Err() != nil {
			yield(block.Block{}, fmt.Errorf("read %s/%d: %w", claim.Topic, claim.Partition, context.Cause(ctx)))
		}
	}
}

func matches(claim events.Claim, blocks int, digest string) error {
	if blocks == claim.Blocks && digest == claim.Digest {
		return nil
	}
	return fmt.Errorf("read %s/%d, offsets %d to %d: %d blocks of digest %.12s lie there, %d of %.12s are claimed: %w; the step that made them has to be done again",
		claim.Topic, claim.Partition, claim.From, claim.To, blocks, digest, claim.Blocks, claim.Digest, block.ErrAbsent)
}

// ahead fetches the range of a claim; the channel is closed after the last answer, or after one with an error.
func (b Blocks) ahead(ctx context.Context, claim events.Claim) <-chan fetch.Part {
	answers := make(chan fetch.Part)
	go func() {
		defer close(answers)
		at, err := b.locate(ctx, claim)
		left := claim.Bytes + int64(claim.Blocks)*fetch.Envelope
		for a := (fetch.Part{Err: err}); a.Err == nil && at.Offset < claim.To; at.Offset = a.Next {
			at.Most = max(left, 1)
			a = b.fetch(ctx, &at, claim)
			for _, r := range a.Records {
				if wire.Header(r, headWriter) == claim.Writer {
					left -= int64(len(r.Value)) + fetch.Envelope
				}
			}
			select {
			case answers <- a:
			case <-ctx.Done():
				return
			}
		}
		if err != nil {
			select {
			case answers <- fetch.Part{Err: err}:
			case <-ctx.Done():
			}
		}
	}()
	return answers
}

// locate finds the topic that a claim names.
func (b Blocks) locate(ctx context.Context, claim events.Claim) (fetch.Position, error) {
	t, err := b.c.Topic(ctx, claim.Topic)
	if err == nil && t.HexID() != claim.TopicID {
		t, err = b.c.Lookup(ctx, claim.Topic)
	}
	if err == nil && (t.HexID() != claim.TopicID || int(claim.Partition) >= len(t.Leaders)) {
		if sought, serr := b.c.Sought(ctx, claim.Topic, claim.TopicID, claim.Partition); serr == nil {
			t = sought
		} else if !errors.Is(serr, link.ErrNoTopic) {
			err = serr
		}
	}
	switch {
	case errors.Is(err, link.ErrNoTopic):
		return fetch.Position{}, fmt.Errorf("read blocks: topic %s does not exist: %w; the step that made them has to be done again", claim.Topic, block.ErrAbsent)
	case err != nil:
		return fetch.Position{}, fmt.Errorf("read blocks: %w", err)
	case t.HexID() != claim.TopicID:
		return fetch.Position{}, fmt.Errorf("read %s: the topic was made anew, or this is another cluster (id %s, claimed is %s): %w; the step that made them has to be done again",
			claim.Topic, t.HexID(), claim.TopicID, block.ErrAbsent)
	case claim.Partition < 0 || int(claim.Partition) >= len(t.Leaders):
		return fetch.Position{}, fmt.Errorf("read %s/%d: the topic has %d partitions: %w", claim.Topic, claim.Partition, len(t.Leaders), block.ErrAbsent)
	}
	return fetch.Position{Topic: t, Partition: claim.Partition, Offset: claim.From}, nil
}

// fetch reads on at a fetch.Position, and finds the leader again where it moved. That nothing lies there counts only if the leader tells of all that was
// acknowledged: a new one learns a moment late how much that is.
func (b Blocks) fetch(ctx context.Context, at *fetch.Position, claim events.Claim) fetch.Part {
	whole := false
	var last error
	for try := range fetchTries {
		leader, here := at.Topic.Leaders[at.Partition], []fetch.Position{*at}
		parts, err := fetch.Do(ctx, b.c.Raw, leader, here, 0)
		if err == nil {
			err = parts[0].Err
		}
		if err == nil && parts[0].Next == at.Offset || errors.Is(err, kerr.OffsetOutOfRange) {
			if whole {
				return fetch.Part{Err: b.outside(ctx, claim)}
			}
			if err = fetch.Whole(ctx, b.c.Raw, leader, here); err == nil {
				whole = true
				continue
			}
			parts = nil // nothing is known yet
		}
		switch {
		case err == nil:
			return parts[0]
		case ctx.Err() != nil:
			return fetch.Part{Err: fmt.Errorf("read %s/%d: %w", claim.Topic, claim.Partition, context.Cause(ctx))}
		}
		last = err
		if len(parts) == 1 && refused(err) {
			return fetch.Part{Err: fmt.Errorf("read %s/%d: %w", claim.Topic, claim.Partition, b.c.Explain(err, "Read", claim.Topic))}
		}
		if len(parts) == 1 && !fetch.Passing(err) {
			return fetch.Part{Records: parts[0].Records, Err: fmt.Errorf("read %s/%d, offset %d: %w: %w", claim.Topic, claim.Partition, parts[0].Next, block.ErrAbsent, err)}
		}
		if err := link.Pause(ctx, 50*time.Millisecond<<min(try, 4)); err != nil {
			return fetch.Part{Err: fmt.Errorf("read %s/%d: %w", claim.Topic, claim.Partition, err)}
		}
		b.c.Forget(claim.Topic)
		moved, err := b.locate(ctx, claim)
		if errors.Is(err, block.ErrAbsent) {
			return fetch.Part{Err: err}
		}
		if err == nil {
			at.Topic, whole = moved.Topic, false
		}
	}
	return fetch.Part{Err: fmt.Errorf("read %s/%d: %w", claim.Topic, claim.Partition, last)}
}

// refused says that the broker would not say what lies there: nothing is known of the blocks.
func refused(err error) bool {
	return errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.ClusterAuthorizationFailed) || errors.Is(err, kerr.UnknownServerError)
}

// outside says where the log lies when a claim does not lie in it.
func (b Blocks) outside(ctx context.Context, claim events.Claim) error {
	lies := "somewhere else"
	if ranges, err := b.c.Ranges(ctx, claim.Topic); err == nil && int(claim.Partition) < len(ranges) {
		lies = fmt.Sprintf("from %d to %d", ranges[claim.Partition].Start, ranges[claim.Partition].End)
	}
	return fmt.Errorf("read %s/%d, offsets %d to %d: the log lies %s, the blocks are expired or lost: %w; the step that made them has to be done again",
		claim.Topic, claim.Partition, claim.From, claim.To, lies, block.ErrAbsent)
}
