// Package seal encrypts the raw blocks of datasets with personal columns, by a data key for each window.
//
// A sealed block is a header, and what AES-256-GCM makes of the value:
//
//	"almseal\x01"  8 bytes
//	marks          1 byte: 1 in the last block of its slice, 2 where the block does not end at a record end
//	index          4 bytes, big-endian: of the block in its slice, from 0
//	length         4 bytes, big-endian: of what follows the salt
//	salt           32 bytes: HMAC-SHA-256 of the header up to the length, and the value, by the first key of the slice
//	ciphertext     with a tag of 16 bytes; the header up to the length is authenticated with it
//
// The two keys of a slice come from the data key by HKDF-SHA-256 with the slice's name as info; HMAC-SHA-256 of the salt by the second is the
// key of the block, which encrypts just this, so that its nonce is zero. So a block opens only at its place in its slice, window and dataset, and
// a slice that was cut short lacks its last block. The same value at the same place is sealed to the same bytes: who does a piece of work again makes
// the same blocks. A nonce that counts would do so too, but would be used for two values where a source has changed in between; a random one would not.
package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"github.com/almanac-data/almanac/events"
)

// KeyBytes is the length of a data key.
const KeyBytes = 32

// ContentType of sealed blocks and files.
const ContentType = "application/vnd.almanac.sealed"

const (
	magic      = "almseal\x01"
	headBytes  = len(magic) + 1 + 4 + 4
	saltBytes  = sha256.Size
	tagBytes   = 16
	leastBytes = headBytes + saltBytes + tagBytes
	mostSealed = 8 << 20 // no block comes near it: a forged length must not fill the memory
)

// ErrChanged says that a block is not what was sealed at its place: its bytes were changed, it stood elsewhere, or another key sealed it.
var ErrChanged = errors.New("the block does not open: its bytes were changed, it was sealed for another place, or with another data key")

// ErrNoKey says that something is sealed and the process has no keys.
var ErrNoKey = errors.New("it is sealed, and ALMANAC_ENVELOPE_KEY is not set: name the key that the data keys are wrapped with (docs/secrets.md)")

// MarkBytes is how many bytes Is needs of a file.
const MarkBytes = len(magic)

// Is says whether a value is sealed.
func Is(value []byte) bool { return bytes.HasPrefix(value, []byte(magic)) }

// Key is the data key of a window. It is safe for concurrent use.
type Key struct {
	data            []byte
	dataset, window string
}

// NewKey is the key of a window, of 32 bytes.
func NewKey(data []byte, dataset, window string) (*Key, error) {
	if len(data) != KeyBytes {
		return nil, fmt.Errorf("a data key has %d bytes, not %d", KeyBytes, len(data))
	}
	return &Key{data: bytes.Clone(data), dataset: dataset, window: window}, nil
}

// Check tells keys apart, without telling anything else of them.
func (k *Key) Check() string {
	sum, err := hkdf.Key(sha256.New, k.data, nil, name("check", k.dataset, k.window), 16)
	if err != nil {
		return "" // it cannot be: the length is right
	}
	return hex.EncodeToString(sum)
}

// Slice seals and opens the blocks of one slice. It is for one goroutine.
type Slice struct {
	salts, blocks []byte
}

// Slice gives that of a piece, whose dataset and window must be those of the key.
func (k *Key) Slice(p events.Piece) (*Slice, error) {
	if p.Dataset != k.dataset || p.Window != k.window {
		return nil, fmt.Errorf("the data key of %s/%s is not that of %s/%s", k.dataset, k.window, p.Dataset, p.Window)
	}
	keys, err := hkdf.Key(sha256.New, k.data, nil, name("raw", p.Dataset, p.Window, strconv.Itoa(p.Generation), strconv.Itoa(p.Slice)), 2*sha256.Size)
	if err != nil {
		return nil, err
	}
	return &Slice{salts: keys[:sha256.Size], blocks: keys[sha256.Size:]}, nil
}

// name joins texts such that no two lists have the same.
func name(parts ...string) string {
	text := []byte("almanac seal 1")
	for _, p := range parts {
		text = binary.AppendUvarint(text, uint64(len(p)))
		text = append(text, p...)
	}
	return string(text)
}

// Mark is what is told of a block beside its value.
type Mark struct {
	Index    int  // in its slice, from 0
	Last     bool // of its slice
	Fragment bool // it does not end at a record end
}

const (
	markLast     = 1
	markFragment = 2
)

// Seal gives the sealed value of a block. It is 65 bytes longer.
func (s *Slice) Seal(value []byte, m Mark) ([]byte, error) {
	if len(value)+tagBytes > mostSealed {
		return nil, fmt.Errorf("seal block: %d bytes are too many", len(value))
	}
	out := make([]byte, 0, headBytes+saltBytes+len(value)+tagBytes)
	out = append(out, magic...)
	var marks byte
	if m.Last {
		marks |= markLast
	}
	if m.Fragment {
		marks |= markFragment
	}
	out = append(out, marks)
	out = binary.BigEndian.AppendUint32(out, uint32(m.Index))
	out = binary.BigEndian.AppendUint32(out, uint32(len(value)+tagBytes))
	salt := hmac.New(sha256.New, s.salts)
	salt.Write(out)
	salt.Write(value)
	out = salt.Sum(out)
	aead, err := s.aead(out[headBytes:])
	if err != nil {
		return nil, fmt.Errorf("seal block: %w", err)
	}
	return aead.Seal(out, make([]byte, aead.NonceSize()), value, out[:headBytes]), nil //nolint:gosec // the key encrypts nothing else
}

func (s *Slice) aead(salt []byte) (cipher.AEAD, error) {
	key := hmac.New(sha256.New, s.blocks)
	key.Write(salt)
	block, err := aes.NewCipher(key.Sum(nil))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// Open appends the value of the sealed block that must be the one of the index to dst[:0].
func (s *Slice) Open(dst, sealed []byte, index int) ([]byte, Mark, error) {
	m, length, err := parse(sealed)
	switch {
	case err != nil:
		return nil, m, err
	case len(sealed) != headBytes+saltBytes+length:
		return nil, m, fmt.Errorf("the sealed block has %d bytes, and says %d", len(sealed), headBytes+saltBytes+length)
	case m.Index != index:
		return nil, m, fmt.Errorf("sealed block %d stands where block %d must be", m.Index, index)
	}
	aead, err := s.aead(sealed[headBytes : headBytes+saltBytes])
	if err != nil {
		return nil, m, err
	}
	value, err := aead.Open(dst[:0], make([]byte, aead.NonceSize()), sealed[headBytes+saltBytes:], sealed[:headBytes])
	if err != nil {
		return nil, m, fmt.Errorf("sealed block %d: %w", index, ErrChanged)
	}
	return value, m, nil
}

// parse reads the header of a sealed block. Length is that of the ciphertext.
func parse(sealed []byte) (m Mark, length int, err error) {
	if !Is(sealed) {
		return m, 0, errors.New("the block is not sealed, and those before it are")
	}
	if len(sealed) < leastBytes {
		return m, 0, fmt.Errorf("the sealed block is cut off after %d bytes", len(sealed))
	}
	marks := sealed[len(magic)]
	m = Mark{Index: int(binary.BigEndian.Uint32(sealed[len(magic)+1:])), Last: marks&markLast > 0, Fragment: marks&markFragment > 0}
	length = int(binary.BigEndian.Uint32(sealed[len(magic)+5:]))
	if length < tagBytes || length > mostSealed {
		return m, 0, fmt.Errorf("the sealed block says that it has %d bytes", length)
	}
	return m, length, nil
}
