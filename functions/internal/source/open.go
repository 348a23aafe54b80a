package source

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
)

const (
	maxWindow = 64 << 20 // of a zstd frame: the memory that reading it takes
	ratioFrom = 64 << 20 // unpacked bytes from which the ratio is watched
)

// Open gives the decompressed bytes of a pinned file from an offset on; ctx bounds all reading. The caller closes it.
//
// Bytes that are not of the declared compression, were cut off, or unpack to more than the bounds end in an error that wraps
// events.ErrInvalid and names the file. Except in plain files, everything before the offset is unpacked again.
func (f *Files) Open(ctx context.Context, d *dataset.Dataset, pinned events.PinnedFile, offset int64) (io.ReadCloser, error) {
	path := resolve(d, pinned.URI)
	file, err := os.Open(path)
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return nil, fmt.Errorf("read %s: %w: let the user that runs collect read it", path, fs.ErrPermission)
		}
		return nil, err
	}
	s := &stream{path: path, file: file, size: pinned.Bytes, in: &input{ctx: ctx, r: file}, bounds: f.bounds()}
	if err := s.start(d.Collect.Format.Compression, offset); err != nil {
		_ = s.Close() // reading it has failed already
		return nil, err
	}
	return s, nil
}

func (f *Files) bounds() Files {
	b := Files{MaxBytes: DefaultMaxBytes, MaxRatio: DefaultMaxRatio}
	if f.MaxBytes > 0 {
		b.MaxBytes = f.MaxBytes
	}
	if f.MaxRatio > 0 {
		b.MaxRatio = f.MaxRatio
	}
	return b
}

// input counts what is read of a file and keeps the error that reading it met, to tell it from an error in the content.
type input struct {
	ctx context.Context //nolint:containedctx // of the opening: io.Reader has no place for it
	r   io.Reader
	n   int64
	err error
}

func (in *input) Read(p []byte) (int, error) {
	if err := in.ctx.Err(); err != nil {
		in.err = err
		return 0, err
	}
	n, err := in.r.Read(p)
	in.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		in.err = err
	}
	return n, err
}

// stream is a file while it is unpacked.
type stream struct {
	path   string
	file   *os.File
	size   int64
	in     *input
	kind   string // none, gzip or zstd
	out    io.Reader
	zstd   *zstd.Decoder
	n      int64 // bytes unpacked
	bounds Files
}

// buffers holds the memory that files are read through to be summed.
var buffers = sync.Pool{New: func() any {
	b := make([]byte, 256<<10)
	return &b
}}

// buffer is the size of the buffer to unpack a file through.
func buffer(size int64) int { return int(min(max(size, 4<<10), 256<<10)) }

// start finds out the compression and goes to the offset.
func (s *stream) start(kind string, offset int64) error {
	if kind == "" || kind == "auto" {
		var head [10]byte
		n, err := s.file.ReadAt(head[:], 0)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read %s: %w", s.path, err)
		}
		if kind, err = detect(head[:n]); err != nil {
			return fmt.Errorf("read %s: %w", s.path, err)
		}
	}
	s.kind = kind
	var err error
	switch kind {
	case "gzip":
		s.out, err = gzip.NewReader(bufio.NewReaderSize(s.in, buffer(s.size)))
	case "zstd":
		s.zstd, err = zstd.NewReader(bufio.NewReaderSize(s.in, buffer(s.size)), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		s.out = s.zstd
	case "none":
		s.out = s.in
		s.n = offset
		if _, err := s.file.Seek(offset, io.SeekStart); err != nil {
			return fmt.Errorf("read %s: %w", s.path, err)
		}
	default:
		return fmt.Errorf("read %s: %w: compression %q is none of auto, none, gzip, zstd", s.path, events.ErrInvalid, kind)
	}
	if err != nil {
		return s.explain(err)
	}
	if skip := offset - s.n; skip > 0 {
		if n, err := io.CopyN(io.Discard, s, skip); errors.Is(err, io.EOF) {
			return fmt.Errorf("read %s: it ends at byte %d, before byte %d where the slice starts", s.path, n, offset)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// detect tells the compression by the first bytes.
func detect(head []byte) (string, error) {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return "gzip", nil
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}),
		len(head) >= 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], []byte{0x2a, 0x4d, 0x18}): // a skippable frame
		return "zstd", nil
	}
	for magic, name := range map[string]string{
		"PK\x03\x04":       "a zip archive",
		"\xfd7zXZ\x00":     "compressed by xz",
		"\x04\x22\x4d\x18": "compressed by lz4",
	} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return "", fmt.Errorf("%w: it is %s, which Almanac does not read: unpack it, or pack it with gzip or zstd", events.ErrInvalid, name)
		}
	}
	return "none", nil
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.out.Read(p)
	s.n += int64(n)
	if err == nil || errors.Is(err, io.EOF) {
		if bound := s.check(); bound != nil {
			return n, bound
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = s.explain(err)
	}
	return n, err
}

func (s *stream) check() error {
	switch {
	case s.n > s.bounds.MaxBytes:
		return fmt.Errorf("unpack %s: %w: more than %d bytes come out, the most that a file may hold: split the file", s.path, events.ErrInvalid, s.bounds.MaxBytes)
	case s.kind != "none" && s.n > ratioFrom && s.n/s.bounds.MaxRatio > s.in.n:
		return fmt.Errorf("unpack %s: %w: %d bytes come out of %d, more than %d times as many, as of a file made to fill memory: pack it less, or not at all",
			s.path, events.ErrInvalid, s.n, s.in.n, s.bounds.MaxRatio)
	}
	return nil
}

// explain tells an error of reading the file, which a retry can help, from one of its content.
func (s *stream) explain(err error) error {
	switch {
	case s.in.err != nil:
		return fmt.Errorf("read %s: %w", s.path, s.in.err)
	case s.kind == "none":
		return fmt.Errorf("read %s: %w", s.path, err)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fmt.Errorf("unpack %s: %w: the %s file is truncated: it ends after %d bytes in the middle of its content: fetch it again", s.path, events.ErrInvalid, s.kind, s.in.n)
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		return fmt.Errorf("unpack %s: %w: its zstd window is larger than %d MiB: pack it without --long or --ultra", s.path, events.ErrInvalid, maxWindow>>20)
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, zstd.ErrMagicMismatch):
		return fmt.Errorf("unpack %s: %w: bytes before %d are not %s (%w): fetch it again, or correct collect.source.compression", s.path, events.ErrInvalid, s.in.n, s.kind, err)
	default:
		return fmt.Errorf("unpack %s: %w: the %s file is damaged before byte %d (%w): fetch it again", s.path, events.ErrInvalid, s.kind, s.in.n, err)
	}
}

// Close lets go of the file.
func (s *stream) Close() error {
	if s.zstd != nil {
		s.zstd.Close()
	}
	return s.file.Close()
}
