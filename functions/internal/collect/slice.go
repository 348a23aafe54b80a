package collect

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/collect/cut"
	"github.com/almanac-data/almanac/functions/internal/record"
)

// maxHeader is the longest header record; it travels in facts.
const maxHeader = 64 << 10

// input is an open file of the pin and the place in it that is read next.
type input struct {
	io.Closer
	*cut.Cutter

	at events.Position
}

// open goes to a position, which is where the input of the slice before has ended, or opens the file there.
func (r *run) open(ctx context.Context, at events.Position) error {
	if r.in != nil && r.in.at == at {
		return nil
	}
	r.close()
	file, err := r.file(ctx, at)
	if err != nil {
		return atSource(err)
	}
	size := r.BlockBytes
	if size <= 0 {
		size = DefaultBlockBytes
	}
	r.in = &input{Closer: file, at: at, Cutter: cut.New(r.d.Collect.Format, file, min(size, block.MaxRaw/2))}
	return nil
}

func (r *run) file(ctx context.Context, at events.Position) (io.ReadCloser, error) {
	if at.File < 0 || at.File >= len(r.pin.Files) {
		return nil, fmt.Errorf("the pin has no file %d", at.File)
	}
	if r.archive != nil {
		return r.archive.Open(ctx, at)
	}
	return r.Sources.Open(ctx, r.d, r.pin.Files[at.File], at.Offset)
}

// read writes the raw blocks of the slice after prev, and makes the fact that claims them.
func (r *run) read(ctx context.Context, prev events.Collected) (events.Collected, error) {
	fact := events.Collected{
		Piece: r.piece.At(prev.Slice + 1), Definition: r.d.Definition, Inputs: r.pin.Content(), Pin: r.pin,
		From: prev.To, To: prev.To, Reason: r.due.Reason,
	}
	if prev.Slice > 0 {
		fact.Inputs, fact.Reason = prev.Digest(), prev.Reason
	}
	if fact.From.Offset > 0 {
		fact.Header = prev.Header
	}
	if err := r.open(ctx, fact.From); err != nil {
		return fact, err
	}
	out, err := r.Blocks.Open(ctx, block.RawTopic(r.d.Name), fact.Piece)
	if err != nil {
		return fact, fmt.Errorf("write raw blocks: %w", err)
	}
	defer out.Close()
	sealed, err := r.seal(ctx, out, fact.Piece)
	if err != nil {
		return fact, err
	}
	if sealed != nil {
		out = sealed
	}
	if err := r.blocks(ctx, out, &fact); err != nil {
		return fact, err
	}
	if fact.Raw, err = out.Claim(ctx); err != nil {
		return fact, fmt.Errorf("write raw blocks: %w", err)
	}
	if sealed != nil {
		fact.Plain, fact.Archive = sealed.plain()
	}
	more, err := r.in.More()
	if err != nil {
		return fact, atSource(err)
	}
	if !more {
		fact.To = events.Position{File: fact.From.File + 1}
		fact.Last = fact.To.File == len(r.pin.Files)
	}
	return fact, nil
}

// blocks appends blocks until the slice is long enough or the file ends.
func (r *run) blocks(ctx context.Context, out block.Appender, fact *events.Collected) error {
	most := r.SliceBytes
	if most <= 0 {
		most = DefaultSliceBytes
	}
	for i := 0; fact.To.Offset-fact.From.Offset < most || r.in.Inside(); i++ {
		data, err := r.in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return atSource(err)
		}
		if fact.To.Offset == 0 {
			if fact.Header, err = r.header(data); err != nil {
				return err
			}
		}
		value, err := block.EncodeRaw(data)
		if err != nil {
			return err
		}
		b := block.Block{Piece: fact.Piece, Index: i, From: fact.To, Fragment: r.in.Inside(), Value: value}
		if err := out.Append(ctx, b); err != nil {
			return fmt.Errorf("write raw blocks: %w", err)
		}
		fact.To.Offset += int64(len(data))
		r.in.at = fact.To
	}
	return nil
}

// header returns the header record at the start of a file.
func (r *run) header(data []byte) (string, error) {
	header, _ := record.Header(r.d.Collect.Format, data)
	if len(header) > maxHeader {
		return "", atSource(fmt.Errorf("read %s: %w: its first record, the header, has more than %d bytes: see whether it is %s at all, and whether its quote is %q",
			r.pin.Files[r.in.at.File].URI, events.ErrInvalid, maxHeader, r.d.Collect.Format.Kind, r.d.Collect.Format.Quote))
	}
	return string(header), nil
}
