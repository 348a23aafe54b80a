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

// Envelope opens the key that wraps the data keys of a warehouse, for a function. It gives nil if the environment names none.
func Envelope(ctx context.Context, p *fn.Process, warehouse *lake.Lake) (*envelope.Ring, error) {
	return openEnvelope(ctx, p.Env, warehouse, func(ctx context.Context) (*vault.Client, error) {
		store, err := p.Store(ctx)
		if err == nil {
			p.Ready("envelope key", store.Ready)
		}
		return store, err
	})
}

// EnvelopeOf does so for a command, which ends the login by closing its secrets.
func EnvelopeOf(ctx context.Context, s *fn.Secrets, warehouse *lake.Lake) (*envelope.Ring, error) {
	return openEnvelope(ctx, s, warehouse, s.Store)
}

func openEnvelope(ctx context.Context, env envconfig.Lookuper, warehouse *lake.Lake, login func(context.Context) (*vault.Client, error)) (*envelope.Ring, error) {
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
	store, err := login(ctx)
	if err != nil {
		return nil, fmt.Errorf("ALMANAC_ENVELOPE_KEY: %w", err)
	}
	return &envelope.Ring{Files: warehouse, Wrapper: envelope.Store{Transit: store, Of: of}}, nil
}
