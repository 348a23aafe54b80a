package envelope

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/almanac-data/almanac/functions/internal/block/seal"
	"github.com/almanac-data/almanac/functions/internal/secret"
)

// File wraps by the keys of a file: a line of 64 hexadecimal digits for each version, the newest last. It serves one process, where there is no
// secrets store. It is read again for each call, so that a line that is added counts at once.
type File struct{ Path string }

// OpenFile makes the file with a random key if there is none, and reads it. One that others can read is refused.
func OpenFile(path string) (File, error) {
	f := File{path}
	_, err := f.keys()
	return f, err
}

const scheme = "file"

func (f File) keys() ([][]byte, error) { return secret.Keys(f.Path) }

func aead(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func (f File) wrap(data []byte) (string, error) {
	keys, err := f.keys()
	if err != nil {
		return "", err
	}
	gcm, err := aead(keys[len(keys)-1])
	if err != nil {
		return "", err
	}
	prefix := fmt.Sprintf("%s:v%d:", scheme, len(keys))
	return prefix + base64.StdEncoding.EncodeToString(gcm.Seal(nil, nil, data, []byte(prefix))), nil //nolint:gosec // it takes a random nonce by itself
}

// DataKey makes one.
func (f File) DataKey(context.Context) (data []byte, wrapped string, err error) {
	data = make([]byte, seal.KeyBytes)
	if _, err := rand.Read(data); err != nil {
		return nil, "", err
	}
	wrapped, err = f.wrap(data)
	return data, wrapped, err
}

// Unwrap gives back a data key.
func (f File) Unwrap(_ context.Context, wrapped string) ([]byte, error) {
	keys, err := f.keys()
	if err != nil {
		return nil, err
	}
	n := version(wrapped)
	prefix := fmt.Sprintf("%s:v%d:", scheme, n)
	text, of := strings.CutPrefix(wrapped, prefix)
	switch {
	case !of:
		return nil, fmt.Errorf("it was not wrapped by a key file, but by %q: name that in ALMANAC_ENVELOPE_KEY", strings.SplitN(wrapped, ":", 2)[0])
	case n < 1 || n > len(keys):
		return nil, fmt.Errorf("it was wrapped by version %d, and %s has %d: bring the file back from a backup", n, f.Path, len(keys))
	}
	sealed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, errors.New("the wrapped key is no base64: restore its file from a backup")
	}
	gcm, err := aead(keys[n-1])
	if err != nil {
		return nil, err
	}
	data, err := gcm.Open(nil, nil, sealed, []byte(prefix))
	if err != nil {
		return nil, fmt.Errorf("line %d of %s is not the key by which it was wrapped", n, f.Path)
	}
	return data, nil
}

// Rewrap wraps keys by the last line. Those that are stay as they are.
func (f File) Rewrap(ctx context.Context, wrapped []string) ([]string, error) {
	keys, err := f.keys()
	if err != nil {
		return nil, err
	}
	out := make([]string, len(wrapped))
	for i, w := range wrapped {
		if out[i] = w; version(w) == len(keys) {
			continue
		}
		data, err := f.Unwrap(ctx, w)
		if err != nil {
			return nil, err
		}
		out[i], err = f.wrap(data)
		clear(data)
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
