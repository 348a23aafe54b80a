package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/process/parse"
	"github.com/almanac-data/almanac/functions/internal/record"
)

// slice is the way of one slice's blocks.
type slice struct {
	dataset    *dataset.Dataset
	collected  events.Collected
	parser     *parse.Parser
	rows       block.Appender
	quarantine *quarantine

	buf    []byte
	headed bool  // the parser has the header of the file
	long   *long // the record that the last block did not end, if any
	broken error // what is wrong with a block's value, unless the claim turns out to be absent
	unseal unseal
}

// long is a record that is longer than a block.
type long struct {
	start  []byte
	length int64
	offset int64 // of its first block
}

// block makes the rows block of a raw block.
func (s *slice) block(ctx context.Context, b block.Block) error {
	value, err := s.unseal.value(ctx, b)
	if lost := new(lostKeyError); errors.As(err, &lost) {
		return err
	}
	var data []byte
	if err == nil {
		data, err = block.DecodeRaw(s.buf, value)
	}
	if err != nil {
		// Told only when the digest of the claim is right: else the blocks are absent, which a retry may mend.
		s.broken = fmt.Errorf("%w: raw block %d, offset %d of %s: %w", events.ErrInvalid, b.Index, b.From.Offset, s.uri(b.From.File), err)
		return nil
	}
	s.buf = data
	s.quarantine.withhold = s.unseal.slice != nil
	s.quarantine.at(b.Index, s.uri(b.From.File), b.From.Offset)
	skip, err := s.skip(ctx, b, data)
	if err != nil {
		return err
	}
	batch, err := s.parser.Block(ctx, data, skip, func(r parse.Reject) error { return s.quarantine.add(ctx, r) })
	if err != nil {
		return fmt.Errorf("raw block %d, offset %d of %s: %w", b.Index, b.From.Offset, s.uri(b.From.File), err)
	}
	defer batch.Release()
	rows, err := block.Encode(batch)
	if err != nil {
		return err
	}
	if err := s.rows.Append(ctx, block.Block{Piece: b.Piece, Index: b.Index, Rows: batch.NumRows(), Value: rows}); err != nil {
		return err
	}
	return s.quarantine.flush(ctx)
}

// uri names a file of the pin.
func (s *slice) uri(file int) string {
	if file < 0 || file >= len(s.collected.Pin.Files) {
		return fmt.Sprintf("file %d", file)
	}
	return s.collected.Pin.Files[file].URI
}

// skip returns the number of bytes of a block that are no records of their own: the header, or parts of a long record.
func (s *slice) skip(ctx context.Context, b block.Block, data []byte) (int, error) {
	if s.long == nil {
		n, err := s.start(b, data)
		if err != nil || !b.Fragment {
			return n, err
		}
		s.long = &long{offset: b.From.Offset}
	}
	if b.Fragment {
		s.long.add(data)
		return len(data), nil
	}
	n := record.Rest(data)
	if n == 0 {
		n = len(data)
	}
	s.long.add(bytes.TrimSuffix(bytes.TrimSuffix(data[:n], []byte("\n")), []byte("\r")))
	return n, s.tooLong(ctx)
}

func (l *long) add(part []byte) {
	l.start = append(l.start, part[:min(len(part), block.KeptOfLong-len(l.start))]...)
	l.length += int64(len(part))
}

// start gives the parser the header of the file that a block lies in, and returns the number of bytes before its first record.
func (s *slice) start(b block.Block, data []byte) (n int, err error) {
	format := s.dataset.Collect.Format
	header := []byte(s.collected.Header)
	if b.From.Offset == 0 {
		header, n = record.Header(format, data)
	} else if s.headed {
		return 0, nil
	}
	if !format.Header || format.Kind == record.NDJSON || header == nil {
		return n, nil
	}
	err = s.parser.Header(header)
	if b.From.Offset == 0 && b.Fragment {
		err = &parse.MismatchError{Reason: "bad_header", Detail: "the first record, the header, is longer than a block: see whether the file is what the pipeline says"}
	}
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", s.uri(b.From.File), err)
	}
	s.headed = true
	return n, nil
}

func (s *slice) tooLong(ctx context.Context) error {
	s.quarantine.offset = s.long.offset
	r := s.parser.TooLong(s.long.start, s.long.length)
	s.long = nil
	return s.quarantine.add(ctx, r)
}

// end accounts for what the last block left open.
func (s *slice) end(ctx context.Context) error {
	if s.broken != nil {
		return s.broken
	}
	if err := s.unseal.end(); err != nil {
		return err
	}
	if s.long != nil {
		if err := s.tooLong(ctx); err != nil {
			return err
		}
		if err := s.quarantine.flush(ctx); err != nil {
			return err
		}
	}
	if total := s.parser.Sheet().Total(); !total.Balanced() {
		return fmt.Errorf("the balance sheet does not balance: %+v", total)
	}
	return nil
}
