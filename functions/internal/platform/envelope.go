package platform

import (
	"context"
	"fmt"

	"github.com/sethvargo/go-envconfig"

	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/lake"
	"github.com/almanac-data/almanac/functions/internal/secret/envelope"
	"github.com/almanac-data/almanac/functions/internal/secret/reference"
	"github.com/almanac-data/almanac/functions/internal/secret/vault"
)

// Stores logs in to the secrets store: a process does, and fn.Secrets.
type Stores interface {
	Store(ctx context.Context) (*vault.Client, error)
}

// Envelope opens the key that wraps the data keys of a warehouse. It gives nil if the environment names none.
func Envelope(ctx context.Context, env envconfig.Lookuper, in Stores, warehouse *lake.Lake) (*envelope.Ring, error) {
	var cfg envelope.Config
	if err := fn.Load(ctx, env, &cfg); err != nil || cfg.Key == "" {
		return nil, err
	}
	if !reference.Store(cfg.Key) {
		file, err := envelope.OpenFile(cfg.Key)
		if err != nil {
			return nil, fmt.Errorf("ALMANAC_ENVELOPE_KEY: %w", err)
		}
		return &envelope.Ring{Files: warehouse, Wrapper: file}, nil
	}
	of, err := reference.ParseRing(cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("ALMANAC_ENVELOPE_KEY %w", err)
	}
	store, err := in.Store(ctx)
	if err != nil {
		return nil, fmt.Errorf("ALMANAC_ENVELOPE_KEY: %w", err)
	}
	return &envelope.Ring{Files: warehouse, Wrapper: envelope.Store{Transit: store, Of: of}}, nil
}
