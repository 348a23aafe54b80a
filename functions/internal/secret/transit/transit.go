// Package transit makes pseudonyms by a key that never leaves the secrets store.
package transit

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/almanac-data/almanac/functions/internal/secret/reference"
	"github.com/almanac-data/almanac/functions/internal/secret/vault"
)

// Store makes HMACs, 32 bytes for each value.
type Store interface {
	HMAC(ctx context.Context, key reference.Key, dst []byte, values [][]byte) ([]byte, error)
}

// Bounds of one request, and of what a slice remembers.
const (
	batchValues = 1000
	batchBytes  = 1 << 20
	mostKnown   = 1 << 16
	knownBytes  = 8 << 20
	sumBytes    = 32
)

// Key makes pseudonyms with one version of a key of the store: the same that secret.Key makes of the same bytes. It is safe for concurrent use.
type Key struct {
	store Store
	key   reference.Key
	most  atomic.Int64 // values of a batch that the store takes
}

// Open tries the key, so that what is wrong with it shows at the start.
func Open(ctx context.Context, store Store, key reference.Key) (*Key, error) {
	k := &Key{store: store, key: key}
	k.most.Store(batchValues)
	_, err := store.HMAC(ctx, key, nil, [][]byte{[]byte("almanac")})
	return k, err
}

// Slice makes the pseudonyms of one slice. It remembers those of the values it saw, within a bound, and is used by one goroutine.
func (k *Key) Slice() *Slice {
	return &Slice{key: k, known: map[string]int{}}
}

// Slice asks the store for each distinct value of a slice once, as long as they fit what it may remember.
type Slice struct {
	key   *Key
	known map[string]int // value: its place in sums
	bytes int            // of the values that are known
	sums  []byte         // of those that the store has answered; the others are asked next
	asked [][]byte
	size  int // bytes of asked
	wait  []waiting
}

// waiting is a place in the output, and the place in sums of what belongs there.
type waiting struct{ at, sum int }

// Append appends the pseudonym of each value to dst, 64 hexadecimal digits each, in order.
func (s *Slice) Append(ctx context.Context, dst []byte, values [][]byte) ([]byte, error) {
	start := len(dst)
	dst = append(dst, make([]byte, 2*sumBytes*len(values))...)
	for i, v := range values {
		sum, there := s.known[string(v)]
		if !there {
			if len(s.asked) >= batchValues || len(s.asked) > 0 && s.size+len(v) > batchBytes {
				if err := s.send(ctx, dst); err != nil {
					return nil, err
				}
			}
			sum = s.ask(v)
		}
		s.wait = append(s.wait, waiting{start + 2*sumBytes*i, sum})
	}
	if err := s.send(ctx, dst); err != nil {
		return nil, err
	}
	return dst, nil
}

// ask puts a value on the list of those that are asked next.
func (s *Slice) ask(v []byte) (sum int) {
	sum = len(s.sums)/sumBytes + len(s.asked)
	s.known[string(v)] = sum
	s.asked = append(s.asked, v)
	s.size += len(v)
	s.bytes += len(v)
	return sum
}

// send asks the store, and fills in what waited for it.
func (s *Slice) send(ctx context.Context, dst []byte) error {
	for len(s.asked) > 0 {
		batch := s.asked[:min(len(s.asked), int(s.key.most.Load()))]
		sums, err := s.key.store.HMAC(ctx, s.key.key, s.sums, batch)
		if errors.Is(err, vault.ErrTooMany) && len(batch) > 1 {
			s.key.most.Store(int64(len(batch) / 2)) // its listener bounds what a request may hold
			continue
		}
		if err == nil && len(sums) != len(s.sums)+sumBytes*len(batch) {
			err = fmt.Errorf("make pseudonyms: the store gives %d bytes for %d values", len(sums)-len(s.sums), len(batch))
		}
		if err != nil {
			s.forget()
			return err
		}
		s.sums, s.asked = sums, s.asked[len(batch):]
	}
	for _, w := range s.wait {
		hex.Encode(dst[w.at:], s.sums[sumBytes*w.sum:sumBytes*(w.sum+1)])
	}
	s.wait, s.asked, s.size = s.wait[:0], s.asked[:0], 0
	if len(s.known) >= mostKnown || s.bytes >= knownBytes {
		s.forget()
	}
	return nil
}

// forget starts anew.
func (s *Slice) forget() {
	clear(s.known)
	s.bytes, s.size, s.sums, s.asked, s.wait = 0, 0, s.sums[:0], s.asked[:0], s.wait[:0]
}
