package oidc

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/almanac-data/almanac/functions/internal/identity"
)

const (
	fresh    = 5 * time.Minute  // keys are fetched anew after this, so that one that was withdrawn counts no longer
	between  = 10 * time.Second // fetches: tokens of unknown keys must not make more of them
	again    = time.Minute      // an issuer that was away is asked after this
	lifetime = 24 * time.Hour   // keys of an issuer that is away go on for so long
)

// ring holds the keys of the issuer.
type ring struct {
	fetch func(context.Context) ([]jose.JSONWebKey, error)
	now   func() time.Time
	warn  func(error)

	fetching sync.Mutex // held while keys are fetched
	tasks    sync.WaitGroup

	mu    sync.Mutex
	keys  []jose.JSONWebKey
	read  time.Time // when keys were fetched last
	tried time.Time // when that was tried last
	err   error     // of the last try
}

// find returns the keys that a token may be signed by. One of an unknown key id makes it fetch them anew, if that is not too soon.
func (r *ring) find(ctx context.Context, id, algorithm string) ([]jose.JSONWebKey, error) {
	found, age := r.known(id, algorithm)
	switch {
	case len(found) > 0 && age < fresh:
		return found, nil
	case len(found) > 0 && age < lifetime:
		r.renew(ctx)
		return found, nil
	}
	if err := r.refresh(ctx); err != nil {
		return nil, fmt.Errorf("%w: %w", identity.ErrAway, err)
	}
	found, _ = r.known(id, algorithm)
	return found, nil
}

// known looks among the keys that are here, and says how old they are.
func (r *ring) known(id, algorithm string) ([]jose.JSONWebKey, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fits := func(k jose.JSONWebKey) bool { return k.Algorithm == "" || k.Algorithm == algorithm }
	if id == "" {
		// RFC 7515 leaves the key id out where there is nothing to choose from.
		if len(r.keys) != 1 || !fits(r.keys[0]) {
			return nil, r.now().Sub(r.read)
		}
		return r.keys, r.now().Sub(r.read)
	}
	found := slices.DeleteFunc(slices.Clone(r.keys), func(k jose.JSONWebKey) bool { return k.KeyID != id || !fits(k) })
	return found, r.now().Sub(r.read)
}

// refresh fetches the keys, unless that was tried a moment ago; then it tells what came of it where there are no keys that may be used.
func (r *ring) refresh(ctx context.Context) error {
	asked := r.now()
	r.fetching.Lock()
	defer r.fetching.Unlock()
	if soon, err := r.soon(asked); soon {
		return err
	}
	keys, err := r.fetch(context.WithoutCancel(ctx)) // who hangs up must not use up the try
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tried, r.err = r.now(), err; err == nil {
		r.keys, r.read = keys, r.tried
	}
	return err
}

// soon says whether the keys were fetched since they were asked for, or that was tried a moment ago.
func (r *ring) soon(asked time.Time) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tried.IsZero() || r.now().Sub(r.tried) >= between && !r.read.After(asked) {
		return false, nil
	}
	if r.now().Sub(r.read) < lifetime {
		return true, nil
	}
	return true, r.err
}

// renew fetches the keys while those that are here go on.
func (r *ring) renew(ctx context.Context) {
	r.mu.Lock()
	due := r.now().Sub(r.tried) >= again
	r.mu.Unlock()
	if !due || !r.fetching.TryLock() {
		return
	}
	r.fetching.Unlock()
	r.tasks.Go(func() {
		if err := r.refresh(ctx); err != nil {
			r.warn(err)
		}
	})
}

// usable says why there are no keys that may be used.
func (r *ring) usable(ctx context.Context) error {
	r.mu.Lock()
	age := r.now().Sub(r.read)
	r.mu.Unlock()
	if age < lifetime {
		return nil
	}
	return r.refresh(ctx)
}
