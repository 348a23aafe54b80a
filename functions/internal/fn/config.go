package fn

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/sethvargo/go-envconfig"

	"github.com/almanac-data/almanac/functions/internal/fn/await"
	"github.com/almanac-data/almanac/functions/internal/fn/server"
	"github.com/almanac-data/almanac/functions/internal/secret/reference"
	"github.com/almanac-data/almanac/functions/internal/secret/vault"
)

// Common is the configuration that functions share; a function's Config embeds it.
type Common struct {
	Warehouse string        `env:"ALMANAC_WAREHOUSE,required"`          // folder or URI
	Datasets  string        `env:"ALMANAC_DATASETS,default=spark-jobs"` // folder of the datasets' folders, or published
	Timeout   time.Duration `env:"ALMANAC_TIMEOUT,default=5m"`          // of one event
}

// Check says what is wrong beyond the form of single variables.
func (c Common) Check() error {
	if c.Timeout <= 0 {
		return fmt.Errorf("ALMANAC_TIMEOUT must be longer than 0, not %s", c.Timeout)
	}
	return nil
}

// Variables lists Almanac's variables that the structs read, and those that the runtime itself does, each once.
func Variables(configs ...any) []string {
	all := []string{"ALMANAC_LOG"}
	var visit func(t reflect.Type)
	visit = func(t reflect.Type) {
		for field := range t.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("env"), ",")
			switch {
			case strings.HasPrefix(name, "ALMANAC_"):
				all = append(all, name)
			case name == "" && field.Type.Kind() == reflect.Struct:
				visit(field.Type)
			}
		}
	}
	for _, c := range append(configs, server.Config{}, await.Config{}, vault.Config{}) {
		visit(reflect.Indirect(reflect.ValueOf(c)).Type())
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Resolver finds what references to the secrets store stand for. An environment may be one; *Secrets is.
type Resolver interface {
	// Resolve gives the path at which the value is found, as long as the process lives.
	Resolve(ctx context.Context, value reference.Value) (path string, err error)
	// Name is whose environment it is.
	Name() string
}

// Load fills the struct that config points to, by its env tags (sethvargo/go-envconfig). A variable set to the empty string
// counts as not set. Fields with the tag secret:"file" are paths of files that hold secrets: they may be references, file:///path or
// vault://mount/path#key, and get the path of what is referred to; so may those with the tag secret:"key", which else stay as they are.
// In fields with the tag each:"name" {function} stands for the name of who loads, if the environment is a Resolver.
// Every mistake is reported at once, each by the name of its variable; then, if there is none, those that
// Check methods of the struct and of its embedded structs find.
func Load(ctx context.Context, env envconfig.Lookuper, config any) error {
	set := envconfig.LookuperFunc(func(key string) (string, bool) {
		v, ok := env.Lookup(key)
		return v, ok && v != ""
	})
	v := reflect.ValueOf(config).Elem()
	err := fill(ctx, set, v)
	if err == nil {
		resolver, _ := env.(Resolver)
		err = resolve(ctx, resolver, v)
	}
	if err == nil {
		err = checkAll(v)
	}
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	return nil
}

// fill lets envconfig read each field on its own, as it stops at the first mistake.
func fill(ctx context.Context, env envconfig.Lookuper, v reflect.Value) error {
	var all []error
	for i := range v.NumField() {
		field := v.Type().Field(i)
		tag, tagged := field.Tag.Lookup("env")
		if !tagged {
			if field.Type.Kind() == reflect.Struct && field.IsExported() {
				all = append(all, fill(ctx, env, v.Field(i)))
			}
			continue
		}
		field.Anonymous = false
		one := reflect.New(reflect.StructOf([]reflect.StructField{field}))
		err := envconfig.ProcessWith(ctx, &envconfig.Config{Target: one.Interface(), Lookuper: env})
		name, _, _ := strings.Cut(tag, ",")
		switch {
		case errors.Is(err, envconfig.ErrMissingRequired):
			all = append(all, fmt.Errorf("%s is not set", name))
		case err != nil:
			all = append(all, fmt.Errorf("%s: %s", name, strings.TrimPrefix(err.Error(), field.Name+": ")))
		default:
			v.Field(i).Set(one.Elem().Field(0))
		}
	}
	return errors.Join(all...)
}

// checkAll asks the struct and every struct in it. An embedded struct's Check may be promoted and so be asked twice; what it says counts once.
func checkAll(v reflect.Value) error {
	var all []error
	seen := map[string]bool{}
	var ask func(v reflect.Value)
	ask = func(v reflect.Value) {
		if c, ok := reflect.TypeAssert[interface{ Check() error }](v.Addr()); ok {
			if err := c.Check(); err != nil && !seen[err.Error()] {
				seen[err.Error()] = true
				all = append(all, err)
			}
		}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.Type.Kind() == reflect.Struct && f.IsExported() {
				ask(v.Field(i))
			}
		}
	}
	ask(v)
	return errors.Join(all...)
}
