// Package blocks is the block.Store in Kafka: blocks are written to one partition by one writer, and read where a claim says that they lie.
package blocks

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/semaphore"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/block/seal"
	"github.com/almanac-data/almanac/functions/internal/kafka/link"
	"github.com/almanac-data/almanac/functions/internal/kafka/wire"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// inFlight bounds the bytes that one appender has handed over and that are not acknowledged.
const inFlight = 8 << 20

// Header names of a block.
const (
	headWriter   = "writer"
	headPiece    = "piece"
	headIndex    = "index"
	headRows     = "rows"
	headFile     = "file"
	headOffset   = "offset"
	headFragment = "fragment"
)

// Blocks is the block.Store in Kafka.
type Blocks struct{ c *link.Cluster }

var _ block.Store = Blocks{}

// New returns the store of blocks in a cluster.
func New(c *link.Cluster) Blocks { return Blocks{c} }

// Open starts to write blocks. The piece decides the partition: windows that follow each other go to different ones.
func (b Blocks) Open(ctx context.Context, name string, piece events.Piece) (block.Appender, error) {
	t, err := b.c.Topic(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("open blocks: %w", err)
	}
	cl, content := b.c.Arrow, block.ContentArrow
	if strings.HasPrefix(name, block.RawTopic("")) {
		cl, content = b.c.Raw, block.ContentRaw
	}
	writer := make([]byte, 16)
	if _, err := rand.Read(writer); err != nil {
		return nil, fmt.Errorf("open blocks: %w", err)
	}
	id := hex.EncodeToString(writer)
	return &appender{
		c: b.c, cl: cl, claim: events.Claim{Topic: name, TopicID: t.HexID(), Partition: spread(piece.Window, len(t.Leaders)), Writer: id},
		digest: block.NewDigest(), budget: semaphore.NewWeighted(inFlight),
		fixed: []kgo.RecordHeader{
			{Key: headWriter, Value: []byte(id)},
			{Key: headPiece, Value: []byte(piece.Key())},
			{Key: wire.ContentType, Value: []byte(content)}, // the last, as headers expects
		},
	}, nil
}

// spread counts windows, so that neighbours do not share a partition.
func spread(key string, partitions int) int32 {
	var n int64
	if w, err := window.Parse(key); err == nil {
		switch w.Size {
		case window.Year:
			n = int64(w.Start.Year())
		case window.Month:
			n = int64(w.Start.Year())*12 + int64(w.Start.Month())
		case window.Week:
			n = (w.Start.Unix()/86400 + 3) / 7 // 1970-01-01 was a Thursday
		case window.Day:
			n = w.Start.Unix() / 86400
		}
	} else {
		h := fnv.New32a()
		_, _ = h.Write([]byte(key)) // never fails
		n = int64(h.Sum32())
	}
	p := int64(max(partitions, 1))
	return int32(((n % p) + p) % p)
}

// appender writes the blocks of one attempt at one piece of work, to one partition.
type appender struct {
	c      *link.Cluster
	cl     *kgo.Client
	fixed  []kgo.RecordHeader
	budget *semaphore.Weighted
	digest *block.Digest
	claim  events.Claim // but for From and To
	wg     sync.WaitGroup

	mu       sync.Mutex
	from, to int64
	acked    int
	err      error
}

// Append hands a block over. It waits while too many bytes are not acknowledged.
func (a *appender) Append(ctx context.Context, b block.Block) error {
	size := int64(min(len(b.Value), inFlight))
	if err := a.budget.Acquire(ctx, size); err != nil {
		return fmt.Errorf("append block to %s: %w", a.claim.Topic, err)
	}
	if err := a.failed(ctx); err != nil {
		a.budget.Release(size)
		return err
	}
	a.digest.Add(b.Value)
	a.claim.Blocks++
	a.claim.Rows += b.Rows
	a.claim.Bytes += int64(len(b.Value))
	r := &kgo.Record{Topic: a.claim.Topic, Partition: a.claim.Partition, Value: b.Value, Headers: headers(a.fixed, b)}
	a.wg.Add(1)
	a.cl.Produce(ctx, r, func(r *kgo.Record, err error) {
		a.acknowledged(r, err)
		a.budget.Release(size)
		a.wg.Done()
	})
	return nil
}

func (a *appender) acknowledged(r *kgo.Record, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.err != nil:
	case err != nil:
		a.err = err // is explained to who asks: the producer must not wait
	case a.acked > 0 && r.Offset < a.to:
		a.err = fmt.Errorf("offset %d came after %d", r.Offset, a.to-1)
	default:
		if a.acked == 0 {
			a.from = r.Offset
		}
		a.acked++
		a.to = r.Offset + 1
	}
}

func (a *appender) failed(ctx context.Context) error {
	a.mu.Lock()
	err := a.err
	a.mu.Unlock()
	if err == nil {
		return nil
	}
	return fmt.Errorf("append block to %s/%d: %w", a.claim.Topic, a.claim.Partition, a.c.Unwritten(ctx, a.claim.Topic, err))
}

// Claim waits until every block is acknowledged by every replica in sync.
func (a *appender) Claim(ctx context.Context) (events.Claim, error) {
	done := make(chan struct{})
	go func() { // ends with the last acknowledgement, which has a deadline
		a.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		return events.Claim{}, fmt.Errorf("claim blocks of %s: %w", a.claim.Topic, context.Cause(ctx))
	}
	if err := a.failed(ctx); err != nil {
		return events.Claim{}, err
	}
	claim := a.claim
	claim.From, claim.To = a.from, a.to
	claim.Digest = a.digest.String()
	return claim, nil
}

// Close lets go of the appender. Blocks that are under way may still be written; no fact claims them.
func (a *appender) Close() {}

func headers(fixed []kgo.RecordHeader, b block.Block) []kgo.RecordHeader {
	hs := make([]kgo.RecordHeader, len(fixed), len(fixed)+5)
	copy(hs, fixed)
	if seal.Is(b.Value) {
		hs[len(fixed)-1].Value = []byte(seal.ContentType)
	}
	number := func(key string, n int64) {
		hs = append(hs, kgo.RecordHeader{Key: key, Value: strconv.AppendInt(nil, n, 10)})
	}
	number(headIndex, int64(b.Index))
	number(headRows, b.Rows)
	number(headFile, int64(b.From.File))
	number(headOffset, b.From.Offset)
	if b.Fragment {
		hs = append(hs, kgo.RecordHeader{Key: headFragment, Value: []byte("true")})
	}
	return hs
}

// parse reads a record as a block.
func parse(r *kgo.Record) (block.Block, error) {
	b := block.Block{Value: r.Value}
	var err error
	number := func(s string, bits int) int64 {
		n, nerr := strconv.ParseInt(s, 10, bits)
		if nerr != nil || n < 0 {
			err = fmt.Errorf("header %q is not a count", s)
		}
		return n
	}
	for _, h := range r.Headers {
		v := string(h.Value)
		switch h.Key {
		case headPiece:
			parts := strings.Split(v, "/")
			if len(parts) != 5 {
				return b, fmt.Errorf("header piece %q is not dataset/name/window/generation/slice", v)
			}
			b.Piece = events.Piece{Dataset: parts[0], Name: parts[1], Window: parts[2], Generation: int(number(parts[3], 32)), Slice: int(number(parts[4], 32))}
		case headIndex:
			b.Index = int(number(v, 32))
		case headRows:
			b.Rows = number(v, 64)
		case headFile:
			b.From.File = int(number(v, 32))
		case headOffset:
			b.From.Offset = number(v, 64)
		case headFragment:
			b.Fragment = v == "true"
		}
	}
	return b, err
}
