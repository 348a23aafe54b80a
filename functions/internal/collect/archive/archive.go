// Package archive reads the raw bytes of a stored generation as they lie in the warehouse: a file of zstd frames for each slice.
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

	"github.com/klauspost/compress/zstd"

	"github.com/almanac-data/almanac/events"
)

// Files opens files of the warehouse.
type Files interface {
	Open(ctx context.Context, path string) (io.ReadCloser, error)
}

// Archive stands for the source of a generation.
type Archive struct {
	Files  Files
	Slices []Slice // all of a generation, in order
}

// Slice says which bytes of the source a file of the archive holds.
type Slice struct {
	From, To events.Position
	File     events.File
}

// Open gives the bytes of a file of the source from an offset on.
func (a *Archive) Open(ctx context.Context, at events.Position) (io.ReadCloser, error) {
	r := &reader{ctx: ctx, files: a.Files}
	var skip int64
	for _, s := range a.Slices {
		if s.From.File != at.File || s.To.File == at.File && s.To.Offset <= at.Offset {
			continue
		}
		if len(r.left) == 0 {
			skip = at.Offset - s.From.Offset
		}
		r.left = append(r.left, s.File)
	}
	if _, err := io.CopyN(io.Discard, r, skip); err != nil {
		_ = r.Close() // reading it has failed already
		return nil, fmt.Errorf("read archive up to byte %d of file %d: %w", at.Offset, at.File, err)
	}
	return r, nil
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
	left  []events.File

	now  events.File
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
	if r.raw, err = r.files.Open(r.ctx, r.now.Path); err != nil {
		return fmt.Errorf("read archive %s: %w: restore it from a backup", r.now.Path, err)
	}
	r.in = &input{Reader: r.raw, hash: sha256.New()}
	in := bufio.NewReaderSize(r.in, 256<<10)
	if r.zstd == nil {
		r.zstd, err = zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	} else {
		err = r.zstd.Reset(in)
	}
	if err != nil {
		return fmt.Errorf("unpack archive %s: %w", r.now.Path, err)
	}
	return nil
}

// done closes the present file, which was read to its end.
func (r *reader) done() error {
	err := r.raw.Close()
	r.raw = nil
	if err != nil {
		return fmt.Errorf("read archive %s: %w", r.now.Path, err)
	}
	if got := hex.EncodeToString(r.in.hash.Sum(nil)); got != r.now.Digest {
		return fmt.Errorf("read archive %s: %w: its digest is %s, want %s: restore it from a backup", r.now.Path, events.ErrInvalid, got, r.now.Digest)
	}
	return nil
}

func (r *reader) explain(err error) error {
	if r.in.err != nil {
		return fmt.Errorf("read archive %s: %w", r.now.Path, r.in.err)
	}
	return fmt.Errorf("unpack archive %s: %w: %w: restore it from a backup", r.now.Path, events.ErrInvalid, err)
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
