// Package archive reads the raw bytes of a stored generation as they lie in the warehouse: a file of zstd frames for each slice, which are sealed
// where the dataset has personal columns and there is a key.
package archive

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"

	"github.com/klauspost/compress/zstd"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/block/seal"
	"github.com/almanac-data/almanac/functions/internal/facts"
)

// Files opens files of the warehouse.
type Files interface {
	Open(ctx context.Context, path string) (io.ReadCloser, error)
}

// Archive stands for the source of a generation.
type Archive struct {
	Files  Files
	Slices []Slice // all of a generation, in order
	Sealed bool    // one of them at least, so that Key is needed
	// Key gives the data key of their window; nil if there is none.
	Key func(context.Context) (*seal.Key, error)
}

// Of gives the slices of a generation that is staged. It gives fewer than all where the facts do not name each, one after the other.
func Of(view *facts.View, generation events.Piece) (all []Slice) {
	var prev events.Collected
	for !prev.Last {
		piece := generation.At(prev.Slice + 1)
		collected, ok1 := facts.Get[events.Collected](view, piece)
		staged, ok2 := facts.Get[events.Staged](view, piece)
		if !ok1 || !ok2 || collected.From != prev.To {
			return all
		}
		all = append(all, Slice{Piece: piece, From: collected.From, To: collected.To, File: staged.Raw})
		prev = collected
	}
	return all
}

// Slice says which bytes of the source a file of the archive holds.
type Slice struct {
	Piece    events.Piece
	From, To events.Position
	File     events.File
}

// Open gives the bytes of a file of the source from an offset on.
func (a *Archive) Open(ctx context.Context, at events.Position) (io.ReadCloser, error) {
	r := &reader{ctx: ctx, files: a.Files, key: a.Key}
	var skip int64
	for _, s := range a.Slices {
		if s.From.File != at.File || s.To.File == at.File && s.To.Offset <= at.Offset {
			continue
		}
		if len(r.left) == 0 {
			skip = at.Offset - s.From.Offset
		}
		r.left = append(r.left, s)
	}
	if _, err := io.CopyN(io.Discard, r, skip); err != nil {
		_ = r.Close() // reading it has failed already
		return nil, fmt.Errorf("read archive up to byte %d of file %d: %w", at.Offset, at.File, err)
	}
	return r, nil
}

// Blocks yields the raw blocks of one slice whose file is sealed, with their values as they were before, for who has the key. A file in clear
// does not tell where its blocks end.
func (a *Archive) Blocks(ctx context.Context, s Slice) iter.Seq2[block.Block, error] {
	return func(yield func(block.Block, error) bool) {
		if err := a.blocks(ctx, s, yield); err != nil {
			yield(block.Block{}, fmt.Errorf("read archive %s: %w", s.File.Path, err))
		}
	}
}

func (a *Archive) blocks(ctx context.Context, s Slice, yield func(block.Block, error) bool) error {
	file, err := a.Files.Open(ctx, s.File.Path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // it was only read
	if a.Key == nil {
		return seal.ErrNoKey
	}
	key, err := a.Key(ctx)
	if err != nil {
		return err
	}
	slice, err := key.Slice(s.Piece)
	if err != nil {
		return err
	}
	at := s.From
	var data []byte
	for in := seal.NewBlocks(bufio.NewReaderSize(file, 256<<10), slice); ; {
		value, m, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if data, err = block.DecodeRaw(data, value); err != nil {
			return err
		}
		if !yield(block.Block{Piece: s.Piece, Index: m.Index, From: at, Fragment: m.Fragment, Value: value}, nil) {
			return nil
		}
		at.Offset += int64(len(data))
	}
}

// input is an archive file while it is read. It keeps the error that reading it met, to tell it from an error in the content.
type input struct {
	io.Reader

	hash hash.Hash
	err  error
}

func (in *input) Read(p []byte) (int, error) {
	n, err := in.Reader.Read(p)
	in.hash.Write(p[:n])
	if err != nil && !errors.Is(err, io.EOF) {
		in.err = err
	}
	return n, err
}

// reader reads the archive files of slices that follow each other, and checks the digest of each that it reads to the end.
type reader struct {
	ctx   context.Context //nolint:containedctx // of the opening: io.Reader has no place for it
	files Files
	key   func(context.Context) (*seal.Key, error)
	left  []Slice

	now  Slice
	raw  io.ReadCloser
	in   *input
	zstd *zstd.Decoder
}

func (r *reader) Read(p []byte) (int, error) {
	for {
		if r.raw == nil {
			if len(r.left) == 0 {
				return 0, io.EOF
			}
			if err := r.next(); err != nil {
				return 0, err
			}
		}
		n, err := r.zstd.Read(p)
		if errors.Is(err, io.EOF) {
			err = r.done()
		} else if err != nil {
			err = r.explain(err)
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (r *reader) next() (err error) {
	r.now, r.left = r.left[0], r.left[1:]
	if r.raw, err = r.files.Open(r.ctx, r.now.File.Path); err != nil {
		return fmt.Errorf("read archive %s: %w: restore it from a backup", r.now.File.Path, err)
	}
	r.in = &input{Reader: r.raw, hash: sha256.New()}
	in, err := r.unsealed(bufio.NewReaderSize(r.in, 256<<10))
	if err != nil {
		return fmt.Errorf("open archive %s: %w", r.now.File.Path, err)
	}
	if r.zstd == nil {
		r.zstd, err = zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	} else {
		err = r.zstd.Reset(in)
	}
	if err != nil {
		return fmt.Errorf("unpack archive %s: %w", r.now.File.Path, err)
	}
	return nil
}

// unsealed reads what a file holds, sealed or not.
func (r *reader) unsealed(in *bufio.Reader) (io.Reader, error) {
	head, err := in.Peek(seal.MarkBytes)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return nil, err
	case !seal.Is(head):
		return in, nil
	case r.key == nil:
		return nil, seal.ErrNoKey
	}
	key, err := r.key(r.ctx)
	if err != nil {
		return nil, err
	}
	slice, err := key.Slice(r.now.Piece)
	if err != nil {
		return nil, err
	}
	return seal.NewReader(in, slice), nil
}

// done closes the present file, which was read to its end.
func (r *reader) done() error {
	err := r.raw.Close()
	r.raw = nil
	if err != nil {
		return fmt.Errorf("read archive %s: %w", r.now.File.Path, err)
	}
	if got := hex.EncodeToString(r.in.hash.Sum(nil)); got != r.now.File.Digest {
		return fmt.Errorf("read archive %s: %w: its digest is %s, want %s: restore it from a backup", r.now.File.Path, events.ErrInvalid, got, r.now.File.Digest)
	}
	return nil
}

func (r *reader) explain(err error) error {
	if r.in.err != nil {
		return fmt.Errorf("read archive %s: %w", r.now.File.Path, r.in.err)
	}
	return fmt.Errorf("unpack archive %s: %w: %w: restore it from a backup", r.now.File.Path, events.ErrInvalid, err)
}

// Close lets go of the file that is open.
func (r *reader) Close() error {
	if r.zstd != nil {
		r.zstd.Close()
	}
	if r.raw != nil {
		return r.raw.Close()
	}
	return nil
}
