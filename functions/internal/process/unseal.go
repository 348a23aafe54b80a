package process

import (
	"context"
	"errors"
	"fmt"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/block/seal"
)

// unseal opens the raw blocks of a slice, if they are sealed.
type unseal struct {
	seals Seals
	piece events.Piece
	slice *seal.Slice // nil before the first block, and if that is in clear
	next  int         // index of the next block
	last  bool        // the last block is open
	buf   []byte
}

// lostKeyError says that there is no key now: nothing is wrong with the blocks.
type lostKeyError struct{ error }

func (e *lostKeyError) Unwrap() error { return e.error }

// value gives the value of the next block in clear, which is valid until the next call.
func (u *unseal) value(ctx context.Context, b block.Block) ([]byte, error) {
	index := u.next
	u.next++
	if u.slice == nil {
		if !seal.Is(b.Value) {
			return b.Value, nil
		}
		if index > 0 {
			return nil, errors.New("the block is sealed, and those before it are not")
		}
		if err := u.open(ctx); err != nil {
			return nil, &lostKeyError{fmt.Errorf("open sealed raw blocks: %w", err)}
		}
	}
	value, mark, err := u.slice.Open(u.buf, b.Value, index)
	if err != nil {
		return nil, err
	}
	if mark.Fragment != b.Fragment {
		return nil, errors.New("the block was sealed with another end of its last record")
	}
	u.buf, u.last = value, mark.Last
	return value, nil
}

func (u *unseal) open(ctx context.Context) error {
	if u.seals == nil {
		return seal.ErrNoKey
	}
	key, err := u.seals.Key(ctx, u.piece.Dataset, u.piece.Window)
	if err != nil {
		return err
	}
	u.slice, err = key.Slice(u.piece)
	return err
}

// end says whether the last block of sealed ones was there.
func (u *unseal) end() error {
	if u.slice != nil && !u.last {
		return fmt.Errorf("%w: the slice ends after %d sealed raw blocks, before its last", events.ErrInvalid, u.next)
	}
	return nil
}
