package block

import (
	"encoding/hex"

	"github.com/zeebo/blake3"
)

// Digest sums the values of blocks, in order, to what a claim says of them: hex BLAKE3 of 256 bits. Every block is summed by the step
// that writes it and by each that reads it, which SHA-256 would make a tenth of the cost of ingest.
type Digest struct{ h *blake3.Hasher }

// NewDigest is the digest of no blocks.
func NewDigest() *Digest { return &Digest{blake3.New()} }

// Add sums the value of the next block.
func (d *Digest) Add(value []byte) { _, _ = d.h.Write(value) } // it has no error

// String is the digest of the values so far.
func (d *Digest) String() string { return hex.EncodeToString(d.h.Sum(nil)) }
