package command

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/sethvargo/go-envconfig"

	"github.com/almanac-data/almanac/functions/internal/calendar"
	"github.com/almanac-data/almanac/functions/internal/collect"
	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/maintain"
	"github.com/almanac-data/almanac/functions/internal/platform"
	"github.com/almanac-data/almanac/functions/internal/platform/gate"
	"github.com/almanac-data/almanac/functions/internal/secret"
	"github.com/almanac-data/almanac/functions/internal/secret/envelope"
	"github.com/almanac-data/almanac/functions/internal/settings"
	"github.com/almanac-data/almanac/functions/internal/spark"
)

// Settable are the variables that a file of a cluster may set.
func Settable() []string {
	return platform.Variables(spark.Config{}, calendar.Config{}, maintain.Config{}, secret.Config{}, envelope.Config{}, collect.Config{}, gate.Config{})
}

// Settings reads the file that --config names.
func (o *Options) Settings() (settings.File, error) {
	file, err := settings.Read(o.Config, Settable())
	if err != nil {
		return file, Exit(Usage, err)
	}
	return file, nil
}

// Environment is where the functions of a cluster find their variables: a flag that was given, the environment, and the file of --config. What
// refers to the secrets store is read there by one login for the whole command.
func (o *Options) Environment() (*fn.Secrets, error) {
	if o.secrets != nil {
		return o.secrets, nil
	}
	file, err := o.Settings()
	if err != nil {
		return nil, err
	}
	flags := map[string]string{}
	if o.Given("datasets") {
		flags["ALMANAC_DATASETS"] = o.Datasets
	}
	// The runtime's defaults are those of a service behind a load balancer.
	alone := map[string]string{"ALMANAC_QUIET": "0s", "ALMANAC_GRACE": "10s"}
	env := envconfig.MultiLookuper(envconfig.MapLookuper(flags), Set(o.Env), file, envconfig.MapLookuper(alone))
	return o.Login(env), nil
}

// Login is the command's to the secrets store, which its variables name.
func (o *Options) Login(env envconfig.Lookuper) *fn.Secrets {
	if o.secrets == nil {
		o.secrets = fn.NewSecrets(env, "almanac", slog.New(slog.DiscardHandler))
	}
	return o.secrets
}

// forget ends the login to the secrets store, if there was one.
func (o *Options) forget() error {
	if o.secrets == nil {
		return nil
	}
	return o.secrets.Close()
}

// Set takes a variable that is set to the empty string for one that is not set, as Load does.
func Set(env envconfig.Lookuper) envconfig.Lookuper {
	return envconfig.LookuperFunc(func(name string) (string, bool) {
		v, ok := env.Lookup(name)
		return v, ok && v != ""
	})
}

// Variables is where a command finds those of a cluster: Environment, or the process's own without --config.
func (o *Options) Variables() (envconfig.Lookuper, error) {
	if o.Config == "" {
		return o.Env, nil
	}
	return o.Environment()
}

// Patient makes a process wait for the servers that it stands on.
func (o *Options) Patient(ctx context.Context, p *fn.Process) error {
	return p.Patient(ctx, func(text string) {
		_, _ = fmt.Fprintln(o.Err, "almanac: "+text) // where nobody reads any more, there is nobody to tell
	})
}

// Day reads the value of a flag that is the start of a day; the zero time is none.
func Day(flag, value string) (time.Time, error) {
	if value == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.DateOnly, value)
	if err != nil {
		return t, Exit(Usage, fmt.Errorf("%s %q is not a day such as 2001-02-01", flag, value))
	}
	return t, nil
}
