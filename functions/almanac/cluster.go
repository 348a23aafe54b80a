package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/sethvargo/go-envconfig"

	"github.com/almanac-data/almanac/functions/internal/calendar"
	"github.com/almanac-data/almanac/functions/internal/collect"
	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/maintain"
	"github.com/almanac-data/almanac/functions/internal/platform"
	"github.com/almanac-data/almanac/functions/internal/platform/gate"
	"github.com/almanac-data/almanac/functions/internal/process"
	"github.com/almanac-data/almanac/functions/internal/secret"
	"github.com/almanac-data/almanac/functions/internal/secret/envelope"
	"github.com/almanac-data/almanac/functions/internal/settings"
	"github.com/almanac-data/almanac/functions/internal/spark"
)

// settable are the variables that a file of a cluster may set.
func settable() []string {
	return platform.Variables(spark.Config{}, calendar.Config{}, maintain.Config{}, secret.Config{}, envelope.Config{}, collect.Config{}, gate.Config{})
}

// settings reads the file that --config names.
func (o *options) settings() (settings.File, error) {
	file, err := settings.Read(o.config, settable())
	if err != nil {
		return file, &codedError{codeUsage, err}
	}
	return file, nil
}

// environment is where the functions of a cluster find their variables: a flag that was given, the environment, and the file of --config. What
// refers to the secrets store is read there by one login for the whole command.
func (o *options) environment() (*fn.Secrets, error) {
	if o.secrets != nil {
		return o.secrets, nil
	}
	file, err := o.settings()
	if err != nil {
		return nil, err
	}
	flags := map[string]string{}
	if o.given("datasets") {
		flags["ALMANAC_DATASETS"] = o.datasets
	}
	// The runtime's defaults are those of a service behind a load balancer.
	alone := map[string]string{"ALMANAC_QUIET": "0s", "ALMANAC_GRACE": "10s"}
	env := envconfig.MultiLookuper(envconfig.MapLookuper(flags), set(envconfig.OsLookuper()), file, envconfig.MapLookuper(alone))
	return o.login(env), nil
}

// login is the command's to the secrets store, which its variables name.
func (o *options) login(env envconfig.Lookuper) *fn.Secrets {
	if o.secrets == nil {
		o.secrets = fn.NewSecrets(env, "almanac", slog.New(slog.DiscardHandler))
	}
	return o.secrets
}

// forget ends the login to the secrets store, if there was one.
func (o *options) forget() error {
	if o.secrets == nil {
		return nil
	}
	return o.secrets.Close()
}

// set takes a variable that is set to the empty string for one that is not set, as Load does.
func set(env envconfig.Lookuper) envconfig.Lookuper {
	return envconfig.LookuperFunc(func(name string) (string, bool) {
		v, ok := env.Lookup(name)
		return v, ok && v != ""
	})
}

// variables is where a command finds those of a cluster: environment, or the process's own without --config.
func (o *options) variables() (envconfig.Lookuper, error) {
	if o.config == "" {
		return envconfig.OsLookuper(), nil
	}
	return o.environment()
}

// awaitCluster is openCluster for a run: it waits for servers that do not answer yet, and says so.
func awaitCluster(ctx context.Context, o *options, log *slog.Logger) (*state, error) {
	return connectCluster(ctx, o, log, o.patient)
}

// patient makes a process wait for the servers that it stands on.
func (o *options) patient(ctx context.Context, p *fn.Process) error {
	return p.Patient(ctx, func(text string) {
		_, _ = fmt.Fprintln(o.err, "almanac: "+text) // where nobody reads any more, there is nobody to tell
	})
}

// openCluster connects to the servers that --config names, and fails at once where one does not answer.
func openCluster(ctx context.Context, o *options, log *slog.Logger) (*state, error) {
	return connectCluster(ctx, o, log, func(context.Context, *fn.Process) error { return nil })
}

func connectCluster(ctx context.Context, o *options, log *slog.Logger, prepare func(context.Context, *fn.Process) error) (_ *state, err error) {
	env, err := o.environment()
	if err != nil {
		return nil, err
	}
	s := &state{now: wall}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.proc, err = newProcess(ctx, s, env, log); err != nil {
		return nil, err
	}
	if err := prepare(ctx, s.proc); err != nil {
		return nil, err
	}
	on, err := platform.Open(ctx, s.proc)
	if err != nil {
		return nil, err
	}
	s.close = append(s.close, func() error { on.Close(); return nil })
	s.cluster, s.journal, s.lake, s.catalog = on.Cluster, on.Journal, on.Warehouse, on.Datasets
	var cfg calendar.Config
	if err := fn.Load(ctx, env, &cfg); err != nil {
		return nil, err
	}
	s.pace = cfg.Pace()
	return s, nil
}

// withReleases gives the folder of releases. They never change, so a data folder need not be taken for that.
func withReleases(ctx context.Context, o *options, do func(fs.FS) error) error {
	if o.config == "" {
		releases, err := warehouse(o)
		if err != nil {
			return err
		}
		return do(releases)
	}
	env, err := o.environment()
	if err != nil {
		return err
	}
	warehouse, done, err := platform.Warehouse(ctx, env)
	if err != nil {
		return err
	}
	defer done()
	return do(warehouse.FS("releases"))
}

// pseudonyms opens the key of pseudonyms; that of a cluster not before a dataset has personal columns.
func (s *state) pseudonyms(ctx context.Context, key secret.Config) (opened process.Pseudonyms, later func(context.Context) (process.Pseudonyms, error), err error) {
	later = func(ctx context.Context) (process.Pseudonyms, error) { return platform.Pseudonyms(ctx, s.proc, key) }
	if s.folder != nil || s.catalog.Personal() {
		opened, err = later(ctx)
	}
	return opened, later, err
}

// scratch is an empty folder for what DuckDB spills.
func (s *state) scratch() (string, error) {
	if s.folder == nil {
		dir, err := os.MkdirTemp("", "almanac-")
		if err == nil {
			s.close = append(s.close, func() error { return os.RemoveAll(dir) })
		}
		return dir, err
	}
	dir := filepath.Join(s.folder.Dir, "temp")
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o700)
}

// remote says whether the warehouse lies where DuckDB cannot read.
func (s *state) remote() bool { return strings.Contains(s.lake.URI("."), "://") }
