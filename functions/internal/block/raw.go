package block

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// MaxRaw is the greatest number of source bytes that one raw block holds.
const MaxRaw = 1 << 20

// rawWindow covers MaxRaw, so that a match can reach over a whole block.
const rawWindow = 1 << 20

// encoder and decoder are shared: EncodeAll and DecodeAll may be called at once, and their options are constant and valid.
var (
	encoder = sync.OnceValues(func() (*zstd.Encoder, error) {
		return zstd.NewWriter(nil, rawOptions...)
	})
	decoder = sync.OnceValues(func() (*zstd.Decoder, error) {
		return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(2*MaxRaw), zstd.WithDecoderMaxWindow(2*MaxRaw))
	})
)

var rawOptions = []zstd.EOption{zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(rawWindow)}

// EncodeRaw makes the value of a raw block: source bytes as one zstd frame. The value depends on the bytes alone.
func EncodeRaw(data []byte) ([]byte, error) {
	e, err := encoder()
	if err != nil {
		return nil, fmt.Errorf("encode raw block: %w", err)
	}
	return e.EncodeAll(data, make([]byte, 0, len(data)/4+64)), nil
}

// DecodeRaw appends the source bytes of a raw block to dst[:0], which may be nil, and returns them. A value that would
// unpack to more than twice MaxRaw is an error.
func DecodeRaw(dst, value []byte) ([]byte, error) {
	d, err := decoder()
	if err != nil {
		return nil, fmt.Errorf("decode raw block: %w", err)
	}
	data, err := d.DecodeAll(value, dst[:0])
	if err != nil {
		return nil, fmt.Errorf("decode raw block: %w", err)
	}
	return data, nil
}
