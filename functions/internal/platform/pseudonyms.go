package platform

import (
	"context"
	"fmt"

	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/process"
	"github.com/almanac-data/almanac/functions/internal/process/vector"
	"github.com/almanac-data/almanac/functions/internal/secret"
	"github.com/almanac-data/almanac/functions/internal/secret/reference"
	"github.com/almanac-data/almanac/functions/internal/secret/transit"
)

// Pseudonyms opens the key of pseudonyms that a configuration names: in a file, or in the secrets store, which is tried.
func Pseudonyms(ctx context.Context, p *fn.Process, cfg secret.Config) (process.Pseudonyms, error) {
	if !reference.Store(cfg.Key) {
		key, err := secret.KeyFile(cfg.Key)
		return func() vector.Pseudonyms { return key }, err
	}
	of, err := reference.ParseKey(cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("ALMANAC_PSEUDONYM_KEY %w", err)
	}
	store, err := p.Store(ctx)
	if err != nil {
		return nil, fmt.Errorf("ALMANAC_PSEUDONYM_KEY: %w", err)
	}
	key, err := transit.Open(ctx, store, of)
	if err != nil {
		return nil, fmt.Errorf("ALMANAC_PSEUDONYM_KEY: %w", err)
	}
	p.Ready("secrets", store.Ready)
	return func() vector.Pseudonyms { return key.Slice() }, nil
}
