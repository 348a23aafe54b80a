// Package blocktest keeps blocks in memory, for tests of what reads and writes them.
package blocktest

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"sync"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
)

// Memory is a block.Store in memory. Its zero value is empty.
type Memory struct {
	mu      sync.Mutex
	topics  map[string][]written
	writers int
}

type written struct {
	writer string
	block  block.Block
}

type appender struct {
	m     *Memory
	topic string
	claim events.Claim
	piece events.Piece
	hash  *block.Digest
}

// Open starts to write blocks.
func (m *Memory) Open(_ context.Context, topic string, piece events.Piece) (block.Appender, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writers++
	return &appender{m: m, topic: topic, piece: piece, hash: block.NewDigest(), claim: events.Claim{Topic: topic, TopicID: "memory-" + topic, Writer: strconv.Itoa(m.writers)}}, nil
}

func (a *appender) Append(_ context.Context, b block.Block) error {
	a.m.mu.Lock()
	defer a.m.mu.Unlock()
	if a.m.topics == nil {
		a.m.topics = map[string][]written{}
	}
	b.Piece = a.piece
	at := int64(len(a.m.topics[a.topic]))
	if a.claim.Blocks == 0 {
		a.claim.From = at
	}
	a.claim.To = at + 1
	a.claim.Blocks++
	a.claim.Rows += b.Rows
	a.claim.Bytes += int64(len(b.Value))
	a.hash.Add(b.Value)
	a.m.topics[a.topic] = append(a.m.topics[a.topic], written{a.claim.Writer, b})
	return nil
}

func (a *appender) Claim(context.Context) (events.Claim, error) {
	a.claim.Digest = a.hash.String()
	return a.claim, nil
}

func (a *appender) Close() {}

// Read yields the claimed blocks.
func (m *Memory) Read(_ context.Context, c events.Claim) iter.Seq2[block.Block, error] {
	return func(yield func(block.Block, error) bool) {
		m.mu.Lock()
		all := m.topics[c.Topic]
		m.mu.Unlock()
		h := block.NewDigest()
		n := 0
		for at := c.From; at < min(c.To, int64(len(all))); at++ {
			w := all[at]
			if w.writer != c.Writer {
				continue
			}
			n++
			h.Add(w.block.Value)
			if !yield(w.block, nil) {
				return
			}
		}
		if n != c.Blocks || h.String() != c.Digest {
			yield(block.Block{}, fmt.Errorf("read %s: %w", c.Topic, block.ErrAbsent))
		}
	}
}

// Drop forgets every block of a topic, as an expired topic does.
func (m *Memory) Drop(topic string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.topics, topic)
}
