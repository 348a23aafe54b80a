package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sethvargo/go-envconfig"

	"github.com/almanac-data/almanac/functions/internal/calendar"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/kafka"
	"github.com/almanac-data/almanac/functions/internal/lake"
	"github.com/almanac-data/almanac/functions/internal/onebox"
	"github.com/almanac-data/almanac/functions/internal/platform"
)

// state is an open data folder: its broker, or the connection to that of the process that holds it, its facts and its warehouse. Or it is
// the servers of a cluster: then there is no folder, and a process.
type state struct {
	folder  *onebox.Folder // nil if another process holds the folder
	broker  *onebox.Broker // likewise, and if ALMANAC_KAFKA names a cluster
	proc    *fn.Process    // nil for a data folder
	cluster *kafka.Cluster
	journal facts.Journal
	lake    *lake.Lake
	catalog *platform.Datasets
	pace    calendar.Pace
	now     func() time.Time // of the schedules
	http    string           // URL of the process that holds the folder; empty if that is this one
	close   []func() error
}

// dialer connects to an address; nil is the usual one.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// endpoints is what a run writes into the data folder for other commands.
type endpoints struct {
	PID   int    `json:"pid"`
	Kafka string `json:"kafka"`
	HTTP  string `json:"http"`
	Clock string `json:"clock,omitempty"` // RFC 3339, if the clock does not run
}

const endpointsFile = "endpoints.json"

func readEndpoints(data string) (at endpoints, err error) {
	raw, err := os.ReadFile(filepath.Join(data, endpointsFile))
	if err != nil {
		return at, err
	}
	if err := json.Unmarshal(raw, &at); err != nil {
		return at, fmt.Errorf("read %s: %w", endpointsFile, err)
	}
	return at, nil
}

// withState opens the data folder for a command that looks but does not run: through the process that holds it, if there is one.
// With --config it opens the cluster.
func withState(ctx context.Context, o *options, do func(context.Context, *state) error) (err error) {
	s, err := look(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return do(ctx, s)
}

func look(ctx context.Context, o *options) (*state, error) {
	log := slog.New(slog.DiscardHandler)
	if o.config != "" {
		return openCluster(ctx, o, log)
	}
	if o.datasets != platform.Published { // what is wrong with a folder is told first
		if _, err := dataset.Open(o.datasets); err != nil {
			return nil, err
		}
	}
	if _, err := os.Stat(filepath.Join(o.data, "almanac.json")); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("open %s: there is no data folder yet; start with: almanac run --data %s", o.data, o.data)
	}
	catalog, err := openDatasets(ctx, o, log)
	if err != nil {
		return nil, err
	}
	return hold(ctx, o, catalog, log)
}

// hold takes the data folder, or goes through the process that has it. It closes the datasets in the end.
func hold(ctx context.Context, o *options, catalog *platform.Datasets, log *slog.Logger) (*state, error) {
	s, err := openState(ctx, o.data, catalog, 0, log)
	if errors.Is(err, onebox.ErrHeld) {
		s, err = attach(ctx, o.data, catalog, err)
	}
	if err != nil {
		return nil, errors.Join(err, catalog.Close())
	}
	s.close = slices.Insert(s.close, 0, catalog.Close)
	return s, nil
}

// openState takes the data folder and starts the broker on it, at a port or, if that is 0, at any.
func openState(ctx context.Context, data string, catalog *platform.Datasets, port int, log *slog.Logger) (_ *state, err error) {
	s := &state{catalog: catalog, now: wall, pace: ownPace()}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.folder, err = onebox.OpenFolder(data); err != nil {
		return nil, err
	}
	s.close = append(s.close, s.folder.Close)
	named, err := namedKafka(ctx)
	if err != nil {
		return nil, err
	}
	if named != nil {
		return s, s.connect(ctx, data, named.Config("almanac", wall))
	}
	if s.broker, err = onebox.StartBroker(onebox.BrokerConfig{Dir: s.folder.Broker(), Port: port, Log: log}); err != nil {
		return nil, err
	}
	s.close = append(s.close, func() error { s.broker.Close(); return nil })
	return s, s.connect(ctx, data, kafka.Config{Brokers: []string{s.broker.Addr()}, Dialer: s.broker.Dial, ClientID: "almanac", Now: wall})
}

// attach connects to the broker of the process that holds the data folder.
func attach(ctx context.Context, data string, catalog *platform.Datasets, held error) (_ *state, err error) {
	at, err := readEndpoints(data)
	if errors.Is(err, os.ErrNotExist) {
		return nil, held
	}
	if err != nil {
		return nil, err
	}
	s := &state{catalog: catalog, now: wall, http: at.HTTP, pace: ownPace()}
	if t, err := time.Parse(time.RFC3339, at.Clock); err == nil {
		s.now = func() time.Time { return t }
	}
	cfg := kafka.Config{Brokers: []string{at.Kafka}, ClientID: "almanac", Now: wall}
	named, err := namedKafka(ctx)
	if err != nil {
		return nil, err
	}
	if named != nil {
		cfg = named.Config("almanac", wall)
	}
	if err := s.connect(ctx, data, cfg); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// namedKafka is the cluster that ALMANAC_KAFKA names; nil if it names none, so that the broker of the data folder is used.
func namedKafka(ctx context.Context) (*kafka.Settings, error) {
	if os.Getenv("ALMANAC_KAFKA") == "" {
		return nil, nil
	}
	var s kafka.Settings
	return &s, fn.Load(ctx, envconfig.OsLookuper(), &s)
}

func (s *state) connect(ctx context.Context, data string, cfg kafka.Config) (err error) {
	s.cluster, err = kafka.Open(ctx, cfg)
	if err != nil {
		return err
	}
	s.close = append(s.close, func() error { s.cluster.Close(); return nil })
	if err := platform.EnsureTopics(ctx, s.cluster, s.catalog.Catalog); err != nil {
		return err
	}
	journal, err := s.cluster.Journal(ctx, "almanac")
	if err != nil {
		return err
	}
	s.journal = journal
	s.close = append(s.close, func() error { journal.Close(); return nil })
	var sizes lake.Config
	if err := fn.Load(ctx, envconfig.OsLookuper(), &sizes); err != nil {
		return err
	}
	s.lake, err = lake.Open(ctx, filepath.Join(data, "warehouse"), lake.TargetFileSize(sizes.FileBytes))
	return err
}

// Close lets go of everything, the last opened first.
func (s *state) Close() error {
	var errs []error
	for _, do := range slices.Backward(s.close) {
		errs = append(errs, do())
	}
	return errors.Join(errs...)
}

// surveyAt is survey at the start of a day; now, or where the clock of the run stands, if none is given.
func (s *state) surveyAt(ctx context.Context, names []string, to string) ([]surveyed, error) {
	at, err := day("--to", to)
	if err != nil {
		return nil, err
	}
	if !at.IsZero() {
		s.now = func() time.Time { return at }
	}
	return s.survey(ctx, names)
}

// survey looks at the named datasets, or at all.
func (s *state) survey(ctx context.Context, names []string) ([]surveyed, error) {
	view, err := s.journal.View(ctx)
	if err != nil {
		return nil, err
	}
	all, _ := s.catalog.Datasets()
	if len(names) > 0 {
		d, err := s.catalog.Dataset(names[0])
		if err != nil {
			return nil, &codedError{codeUsage, err}
		}
		all = []*dataset.Dataset{d}
	}
	surveys := make([]surveyed, 0, len(all))
	for _, d := range all {
		if d.Withdrawn && len(names) == 0 {
			continue // nothing of it goes on
		}
		states := calendar.Survey(d, view, s.now(), wall(), s.pace)
		if d.Withdrawn {
			states = slices.DeleteFunc(states, func(st calendar.State) bool { return st.Phase == calendar.Due || st.Phase == calendar.Blocked })
		}
		surveys = append(surveys, newSurveyed(d, states))
	}
	return surveys, nil
}
