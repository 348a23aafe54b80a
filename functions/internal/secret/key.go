// Package secret keeps keys in files. Its sub-packages speak to a secrets store instead.
package secret

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

const keyBytes = 32

// Config names the key of pseudonyms.
type Config struct {
	Key string `env:"ALMANAC_PSEUDONYM_KEY,default=pseudonym.key" secret:"key"` // file of 64 hexadecimal digits, made if it is missing; or vault://transit/almanac-pseudonym
}

// Key makes pseudonyms: the hex HMAC-SHA-256 of a value. Equal values have equal pseudonyms, and nobody without the key can
// tell which value one stands for, or try values. It is safe for concurrent use.
type Key struct{ pool sync.Pool }

// NewKey returns a key of the given bytes.
func NewKey(key []byte) *Key {
	key = append([]byte(nil), key...)
	return &Key{pool: sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}
}

// Append appends the pseudonym of each value to dst, 64 hexadecimal digits each, in order. It never fails.
func (k *Key) Append(_ context.Context, dst []byte, values [][]byte) ([]byte, error) {
	h := k.pool.Get().(hash.Hash)
	defer k.pool.Put(h)
	var sum [sha256.Size]byte
	for _, v := range values {
		h.Reset()
		h.Write(v)
		dst = hex.AppendEncode(dst, h.Sum(sum[:0]))
	}
	return dst, nil
}

// KeyFile reads the key in a file, 64 hexadecimal digits. If there is no such file it makes one with a random key that only
// the user can read; of several processes that do so at once one wins. A file that others can read is refused. Whoever
// loses the file can never make the same pseudonyms again.
func KeyFile(path string) (*Key, error) {
	keys, err := Keys(path)
	if err != nil {
		return nil, err
	}
	if len(keys) != 1 {
		return nil, fmt.Errorf("read key file: %s has %d lines: a key of pseudonyms has no versions, as with another one they change", path, len(keys))
	}
	return NewKey(keys[0]), nil
}

// Keys reads a file of keys as KeyFile does, each a line of 64 hexadecimal digits; there is one at least.
func Keys(path string) (keys [][]byte, err error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := create(path); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("make key file: %w", err)
		}
		info, err = os.Stat(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read key file: %s is not a regular file", path)
	}
	if open := info.Mode().Perm() & 0o077; open != 0 {
		return nil, fmt.Errorf("read key file: others may read or change %s (mode %04o); run: chmod 600 %s", path, info.Mode().Perm(), path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	for line := range strings.Lines(strings.TrimSpace(string(text))) {
		key, err := hex.DecodeString(strings.TrimSpace(line))
		if err != nil || len(key) != keyBytes {
			keys = nil
			break
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("read key file: %s does not hold %d hexadecimal digits; bring it back from a backup: "+
			"with another key pseudonyms change, and nothing opens that was sealed", path, 2*keyBytes)
	}
	return keys, nil
}

// create writes a new key under another name and gives it its name only when it is whole and nobody else did.
func create(path string) error {
	key := make([]byte, keyBytes)
	if _, err := rand.Read(key); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*") // with mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = fmt.Fprintln(f, hex.EncodeToString(key))
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
