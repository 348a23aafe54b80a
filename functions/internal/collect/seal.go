package collect

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/block/seal"
)

// sealing seals blocks before they are written. It holds back one block, as the last of a slice is marked.
type sealing struct {
	block.Appender

	slice   *seal.Slice
	held    *block.Block
	blocks  *block.Digest // of the values in clear
	archive hash.Hash
}

// seal gives what seals the blocks of a slice; nil if the dataset has no personal columns, or there are no keys.
func (r *run) seal(ctx context.Context, out block.Appender, piece events.Piece) (_ *sealing, err error) {
	if r.Keys == nil || !r.d.Personal() {
		return nil, nil
	}
	if r.key == nil {
		if r.archive != nil && r.archive.Sealed { // a new key would hide that the one which opens the archive is gone
			r.key, err = r.Keys.Key(ctx, piece.Dataset, piece.Window)
			err = atSource(err)
		} else {
			r.key, err = r.Keys.Ensure(ctx, piece.Dataset, piece.Window)
		}
		if err != nil {
			return nil, err
		}
	}
	slice, err := r.key.Slice(piece)
	if err != nil {
		return nil, err
	}
	return &sealing{Appender: out, slice: slice, blocks: block.NewDigest(), archive: sha256.New()}, nil
}

// Append seals and writes the block before this one.
func (s *sealing) Append(ctx context.Context, b block.Block) error {
	if err := s.write(ctx, false); err != nil {
		return err
	}
	s.held = &b
	return nil
}

// Claim seals and writes the last block, too.
func (s *sealing) Claim(ctx context.Context) (events.Claim, error) {
	if err := s.write(ctx, true); err != nil {
		return events.Claim{}, err
	}
	return s.Appender.Claim(ctx)
}

func (s *sealing) write(ctx context.Context, last bool) (err error) {
	if s.held == nil {
		return nil
	}
	b := *s.held
	s.held = nil
	s.blocks.Add(b.Value)
	s.archive.Write(b.Value)
	if b.Value, err = s.slice.Seal(b.Value, seal.Mark{Index: b.Index, Last: last, Fragment: b.Fragment}); err != nil {
		return fmt.Errorf("seal raw blocks: %w", err)
	}
	return s.Appender.Append(ctx, b)
}

// plain gives the digests of the values in clear, as the fact has them.
func (s *sealing) plain() (blocks, archive string) {
	return s.blocks.String(), hex.EncodeToString(s.archive.Sum(nil))
}
