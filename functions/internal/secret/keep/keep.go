// Package keep holds what references stand for where code that reads files finds it, and keeps it as it is in the secrets store.
//
// The values lie in memory and never on a disk: a reader gets a path of the process's own descriptors, which nobody else can open and which is
// gone with the process. (On other systems than Linux they are files of a private folder, removed in the end.) What was rotated replaces what
// was there at once; a reader gets the one or the other, whole.
package keep

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/almanac-data/almanac/functions/internal/secret/reference"
	"github.com/almanac-data/almanac/functions/internal/secret/vault"
)

// Store reads secrets.
type Store interface {
	Secret(ctx context.Context, mount, path string) (map[string]any, error)
}

// Keeper is safe for concurrent use. Close ends it.
type Keeper struct {
	store Store
	log   *slog.Logger

	mu    sync.Mutex
	held  map[reference.Value]*held
	stale map[string]bool // secrets that could not be read last
	stop  context.CancelFunc
	ended sync.WaitGroup
}

type held struct {
	value []byte
	file  *file
}

// New reads secrets again in the given interval.
func New(ctx context.Context, store Store, every time.Duration, log *slog.Logger) *Keeper {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	k := &Keeper{store: store, log: log, held: map[reference.Value]*held{}, stale: map[string]bool{}, stop: stop}
	k.ended.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				k.refresh(ctx)
			}
		}
	})
	return k
}

// File gives the path at which the value is found from now on.
func (k *Keeper) File(ctx context.Context, v reference.Value) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if h := k.held[v]; h != nil {
		return h.file.path(), nil
	}
	data, err := k.store.Secret(ctx, v.Mount, v.Path)
	if err != nil {
		return "", err
	}
	value, err := vault.Pick(data, v)
	if err != nil {
		return "", err
	}
	f, err := newFile(value)
	if err != nil {
		return "", fmt.Errorf("hold %s in memory: %w", v, err)
	}
	k.held[v] = &held{value, f}
	return f.path(), nil
}

// refresh reads everything again. What cannot be read stays as it was.
func (k *Keeper) refresh(ctx context.Context) {
	k.mu.Lock()
	defer k.mu.Unlock()
	type answer struct {
		data map[string]any
		err  error
	}
	read := map[[2]string]answer{}
	for v, h := range k.held {
		of := [2]string{v.Mount, v.Path}
		got, done := read[of]
		if !done {
			got.data, got.err = k.store.Secret(ctx, v.Mount, v.Path)
			read[of] = got
		}
		err := got.err
		if err == nil {
			err = k.renew(v, h, got.data)
		}
		k.tell(ctx, v, err)
	}
}

func (k *Keeper) renew(v reference.Value, h *held, data map[string]any) error {
	value, err := vault.Pick(data, v)
	if err != nil || bytes.Equal(value, h.value) {
		return err
	}
	if err := h.file.replace(value); err != nil {
		return err
	}
	h.value = value
	k.log.Info("secret rotated", "secret", v.String())
	return nil
}

// tell logs the first time that a secret cannot be read, and when it can be again.
func (k *Keeper) tell(ctx context.Context, v reference.Value, err error) {
	name := v.String()
	switch {
	case err != nil && !k.stale[name] && ctx.Err() == nil:
		k.log.Warn("secret not read again, the one read before goes on", "secret", name, "error", err.Error())
	case err == nil && k.stale[name]:
		k.log.Info("secret read again", "secret", name)
	}
	k.stale[name] = err != nil
}

// Close lets go of the values. Their paths are of no use any more.
func (k *Keeper) Close() error {
	k.stop()
	k.ended.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []error
	for _, h := range k.held {
		clear(h.value)
		all = append(all, h.file.close())
	}
	clear(k.held)
	return errors.Join(all...)
}
