// Package state opens where the state lies: a data folder with its broker, or the servers of a cluster.
package state

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sethvargo/go-envconfig"

	"github.com/almanac-data/almanac/functions/internal/calendar"
	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/command/open"
	"github.com/almanac-data/almanac/functions/internal/command/survey"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/dataset/folder"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/kafka"
	"github.com/almanac-data/almanac/functions/internal/lake"
	"github.com/almanac-data/almanac/functions/internal/onebox"
	"github.com/almanac-data/almanac/functions/internal/platform"
)

// State is an open data folder: its broker, or the connection to that of the process that holds it, its facts and its warehouse. Or it is
// the servers of a cluster: then there is no folder, and a process.
type State struct {
	Folder   *onebox.Folder // nil if another process holds the folder
	Proc     *fn.Process    // nil for a data folder
	Cluster  *kafka.Cluster
	Journal  facts.Journal
	Lake     *lake.Lake
	Datasets *platform.Datasets
	Pace     calendar.Pace
	Now      func() time.Time // of the schedules
	HTTP     string           // URL of the process that holds the folder; empty if that is this one

	wall  func() time.Time
	close []func() error
}

// With opens the data folder for a command that looks but does not run: through the process that holds it, if there is one.
// With --config it opens the cluster.
func With(ctx context.Context, o *command.Options, do func(context.Context, *State) error) (err error) {
	s, err := look(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return do(ctx, s)
}

func look(ctx context.Context, o *command.Options) (*State, error) {
	log := slog.New(slog.DiscardHandler)
	if o.Config != "" {
		return openCluster(ctx, o, log)
	}
	if o.Datasets != platform.Published { // what is wrong with a folder is told first
		if _, err := folder.Catalog(o.Datasets); err != nil {
			return nil, err
		}
	}
	if _, err := os.Stat(filepath.Join(o.Data, "almanac.json")); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("open %s: there is no data folder yet; start with: almanac run --data %s", o.Data, o.Data)
	}
	catalog, err := open.Datasets(ctx, o, log)
	if err != nil {
		return nil, err
	}
	return Hold(ctx, o, catalog, log)
}

// Hold takes the data folder, or goes through the process that has it. It closes the datasets in the end.
func Hold(ctx context.Context, o *command.Options, catalog *platform.Datasets, log *slog.Logger) (*State, error) {
	s, err := openFolder(ctx, o, catalog, 0, log)
	if errors.Is(err, onebox.ErrHeld) {
		s, err = attach(ctx, o, catalog, err)
	}
	return owning(s, catalog, err)
}

// owning has the datasets closed last; at once where nothing was opened.
func owning(s *State, catalog *platform.Datasets, err error) (*State, error) {
	if err != nil {
		return nil, errors.Join(err, catalog.Close())
	}
	s.close = slices.Insert(s.close, 0, catalog.Close)
	return s, nil
}

// OpenFolder takes the data folder and starts the broker on it, at a port or, if that is 0, at any. The error wraps onebox.ErrHeld where another
// process has the folder. It closes the datasets in the end, also after an error.
func OpenFolder(ctx context.Context, o *command.Options, catalog *platform.Datasets, port int, log *slog.Logger) (*State, error) {
	s, err := openFolder(ctx, o, catalog, port, log)
	return owning(s, catalog, err)
}

func openFolder(ctx context.Context, o *command.Options, catalog *platform.Datasets, port int, log *slog.Logger) (_ *State, err error) {
	s := &State{Datasets: catalog, Now: o.Now, wall: o.Now, Pace: Pace()}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.Folder, err = onebox.OpenFolder(o.Data); err != nil {
		return nil, err
	}
	s.OnClose(s.Folder.Close)
	named, err := namedKafka(ctx, o.Env)
	if err != nil {
		return nil, err
	}
	if named != nil {
		return s, s.connect(ctx, o, named.Config("almanac", o.Now))
	}
	broker, err := onebox.StartBroker(onebox.BrokerConfig{Dir: s.Folder.Broker(), Port: port, Log: log})
	if err != nil {
		return nil, err
	}
	s.OnClose(func() error { broker.Close(); return nil })
	return s, s.connect(ctx, o, kafka.Config{Brokers: []string{broker.Addr()}, Dialer: broker.Dial, ClientID: "almanac", Now: o.Now})
}

// attach connects to the broker of the process that holds the data folder.
func attach(ctx context.Context, o *command.Options, catalog *platform.Datasets, held error) (_ *State, err error) {
	at, err := ReadEndpoints(o.Data)
	if errors.Is(err, os.ErrNotExist) {
		return nil, held
	}
	if err != nil {
		return nil, err
	}
	s := &State{Datasets: catalog, Now: o.Now, wall: o.Now, HTTP: at.HTTP, Pace: Pace()}
	if t, err := time.Parse(time.RFC3339, at.Clock); err == nil {
		s.Now = func() time.Time { return t }
	}
	cfg := kafka.Config{Brokers: []string{at.Kafka}, ClientID: "almanac", Now: o.Now}
	named, err := namedKafka(ctx, o.Env)
	if err != nil {
		return nil, err
	}
	if named != nil {
		cfg = named.Config("almanac", o.Now)
	}
	if err := s.connect(ctx, o, cfg); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// namedKafka is the cluster that ALMANAC_KAFKA names; nil if it names none, so that the broker of the data folder is used.
func namedKafka(ctx context.Context, env envconfig.Lookuper) (*kafka.Settings, error) {
	if name, _ := env.Lookup("ALMANAC_KAFKA"); name == "" {
		return nil, nil
	}
	var s kafka.Settings
	return &s, fn.Load(ctx, env, &s)
}

func (s *State) connect(ctx context.Context, o *command.Options, cfg kafka.Config) (err error) {
	s.Cluster, err = kafka.Open(ctx, cfg)
	if err != nil {
		return err
	}
	s.OnClose(func() error { s.Cluster.Close(); return nil })
	if err := platform.EnsureTopics(ctx, s.Cluster, s.Datasets.Catalog); err != nil {
		return err
	}
	journal, err := s.Cluster.Journal(ctx, "almanac")
	if err != nil {
		return err
	}
	s.Journal = journal
	s.OnClose(func() error { journal.Close(); return nil })
	var sizes lake.Config
	if err := fn.Load(ctx, o.Env, &sizes); err != nil {
		return err
	}
	s.Lake, err = lake.Open(ctx, filepath.Join(o.Data, "warehouse"), lake.TargetFileSize(sizes.FileBytes))
	return err
}

// OnClose has Close do something before all that was opened earlier is closed.
func (s *State) OnClose(do func() error) { s.close = append(s.close, do) }

// Close lets go of everything, the last opened first.
func (s *State) Close() error {
	var errs []error
	for _, do := range slices.Backward(s.close) {
		errs = append(errs, do())
	}
	return errors.Join(errs...)
}

// SurveyAt is Survey at the start of a day; now, or where the clock of the run stands, if none is given.
func (s *State) SurveyAt(ctx context.Context, names []string, to string) ([]survey.Dataset, error) {
	at, err := command.Day("--to", to)
	if err != nil {
		return nil, err
	}
	if !at.IsZero() {
		s.Now = func() time.Time { return at }
	}
	return s.Survey(ctx, names)
}

// Survey looks at the named datasets, or at all.
func (s *State) Survey(ctx context.Context, names []string) ([]survey.Dataset, error) {
	view, err := s.Journal.View(ctx)
	if err != nil {
		return nil, err
	}
	all, _ := s.Datasets.Datasets()
	if len(names) > 0 {
		d, err := s.Datasets.Dataset(names[0])
		if err != nil {
			return nil, command.Exit(command.Usage, err)
		}
		all = []*dataset.Dataset{d}
	}
	surveys := make([]survey.Dataset, 0, len(all))
	for _, d := range all {
		if d.Withdrawn && len(names) == 0 {
			continue // nothing of it goes on
		}
		states := calendar.Survey(d, view, s.Now(), s.wall(), s.Pace)
		if d.Withdrawn {
			states = slices.DeleteFunc(states, func(st calendar.State) bool { return st.Phase == calendar.Due || st.Phase == calendar.Blocked })
		}
		surveys = append(surveys, survey.New(d, states))
	}
	return surveys, nil
}
