package fn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"

	"github.com/sethvargo/go-envconfig"

	"github.com/almanac-data/almanac/functions/internal/secret/keep"
	"github.com/almanac-data/almanac/functions/internal/secret/reference"
	"github.com/almanac-data/almanac/functions/internal/secret/vault"
)

// Secrets is an environment whose variables may refer to the secrets store that the variables ALMANAC_VAULT_… name. It is asked first when
// something refers to it. Close ends the login.
type Secrets struct {
	envconfig.Lookuper

	name  string
	log   *slog.Logger
	await func(ctx context.Context, server string, passing func(error) bool, open func(context.Context) error) error

	mu     sync.Mutex
	store  *vault.Client
	keeper *keep.Keeper
}

// NewSecrets is for whom has no Process, which has its own: the store is tried once.
func NewSecrets(env envconfig.Lookuper, name string, log *slog.Logger) *Secrets {
	return &Secrets{Lookuper: env, name: name, log: log, await: func(ctx context.Context, _ string, _ func(error) bool, open func(context.Context) error) error {
		return open(ctx)
	}}
}

// Name is whose environment it is.
func (s *Secrets) Name() string { return s.name }

// Store logs in to the store, once.
func (s *Secrets) Store(ctx context.Context) (*vault.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open(ctx)
}

func (s *Secrets) open(ctx context.Context) (*vault.Client, error) {
	if s.store != nil {
		return s.store, nil
	}
	var cfg vault.Config
	if err := Load(ctx, s.Lookuper, &cfg); err != nil {
		return nil, err
	}
	err := s.await(ctx, "the secrets store at "+cfg.Server+" (ALMANAC_VAULT)", vault.Passing, func(ctx context.Context) (err error) {
		s.store, err = vault.Open(ctx, cfg, s.name, s.log)
		return err
	})
	if err != nil {
		s.store = nil
		return nil, err
	}
	s.keeper = keep.New(ctx, s.store, cfg.Refresh, s.log)
	return s.store, nil
}

// functionName stands in the path of a reference for the name of the function, so that one setting serves them all.
const functionName = "{function}"

// Resolve gives the path at which a value of the store is found, until Close.
func (s *Secrets) Resolve(ctx context.Context, value reference.Value) (path string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.open(ctx); err != nil {
		return "", err
	}
	value.Path = strings.ReplaceAll(value.Path, functionName, s.name)
	err = s.await(ctx, "the secret "+value.String(), vault.Passing, func(ctx context.Context) (err error) {
		path, err = s.keeper.File(ctx, value)
		return err
	})
	return path, err
}

// Close ends the login, if there is one, and forgets the values.
func (s *Secrets) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.store == nil {
		return nil
	}
	err := s.keeper.Close()
	s.store.Close()
	s.store, s.keeper = nil, nil
	return err
}

// Store is the secrets store of the process.
func (p *Process) Store(ctx context.Context) (*vault.Client, error) { return p.secrets.Store(ctx) }

// resolve puts paths in place of references, and the name of who loads where it is asked for.
func resolve(ctx context.Context, r Resolver, v reflect.Value) error {
	var all []error
	for i := range v.NumField() {
		field, value := v.Type().Field(i), v.Field(i)
		tag, tagged := field.Tag.Lookup("env")
		if !tagged {
			if field.Type.Kind() == reflect.Struct && field.IsExported() {
				all = append(all, resolve(ctx, r, value))
			}
			continue
		}
		if value.Kind() != reflect.String {
			continue
		}
		if r != nil && field.Tag.Get("each") == "name" {
			value.SetString(strings.ReplaceAll(value.String(), functionName, r.Name()))
		}
		if !reference.Is(value.String()) {
			continue
		}
		name, _, _ := strings.Cut(tag, ",")
		path, err := resolved(ctx, r, field.Tag.Get("secret"), value.String())
		if err != nil {
			all = append(all, fmt.Errorf("%s: %w", name, err))
			continue
		}
		value.SetString(path)
	}
	return errors.Join(all...)
}

// resolved is what a reference becomes in a field of a kind.
func resolved(ctx context.Context, r Resolver, kind, text string) (string, error) {
	switch {
	case kind == "":
		return "", errors.New("takes no reference: it is no secret")
	case kind == "key" && reference.Store(text) && !reference.Keyed(text):
		return text, nil
	case !reference.Store(text):
		return reference.File(text)
	}
	value, err := reference.ParseValue(text)
	if err != nil {
		return "", err
	}
	if r == nil {
		return "", errors.New("nothing reads the secrets store here: name a file, or the servers of a cluster by --config")
	}
	return r.Resolve(ctx, value)
}
