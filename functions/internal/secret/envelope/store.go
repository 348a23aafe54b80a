package envelope

import (
	"context"

	"github.com/almanac-data/almanac/functions/internal/secret/reference"
)

// Transit is the transit engine of the secrets store.
type Transit interface {
	DataKey(ctx context.Context, key reference.Key) (data []byte, wrapped string, err error)
	Unwrap(ctx context.Context, key reference.Key, wrapped string) ([]byte, error)
	Rewrap(ctx context.Context, key reference.Key, wrapped []string) ([]string, error)
}

// Store wraps by a key of transit, which never leaves the secrets store: always by its newest version, while each version that it
// allows unwraps.
type Store struct {
	Transit Transit
	Of      reference.Key
}

// DataKey has the store make one.
func (s Store) DataKey(ctx context.Context) (data []byte, wrapped string, err error) {
	return s.Transit.DataKey(ctx, s.Of)
}

// Unwrap has the store unwrap one.
func (s Store) Unwrap(ctx context.Context, wrapped string) ([]byte, error) {
	return s.Transit.Unwrap(ctx, s.Of, wrapped)
}

// Rewrap has the store wrap keys anew; it does not show them.
func (s Store) Rewrap(ctx context.Context, wrapped []string) ([]string, error) {
	return s.Transit.Rewrap(ctx, s.Of, wrapped)
}
