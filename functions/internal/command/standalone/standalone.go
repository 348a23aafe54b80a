// Package standalone has the commands for functions that run as programs of their own: what wakes them, and their variables.
package standalone

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sethvargo/go-envconfig"
	"github.com/spf13/cobra"

	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/command/state"
	"github.com/almanac-data/almanac/functions/internal/kafka"
	"github.com/almanac-data/almanac/functions/internal/platform/stream"
	"github.com/almanac-data/almanac/functions/internal/relay"
)

const sourceHelp = `Source wakes a function over HTTP: for each record of Kafka topics, as Knative's KafkaSource does, or on a schedule, as its
PingSource does. It is what a ContainerSource runs where those are not installed. Without --config it reads the topics of the run that holds
the data folder.

An event that is answered by 404, 408, 409, 429, 500 or above, or not at all, is sent again, and else goes to the dead letters: to
--dead-letter, or into their topic.

With several --sink, one for each instance of the function, events go to each in turn, and one that does not answer is passed over. Several
sources of one name share the topics: one of them has a topic at a time, and when it is killed another takes over after 15 seconds.`

type sourceFlags struct {
	topics          []string
	schedule        string
	delay           time.Duration
	sinks           []string
	deadLetter      string
	name, namespace string
	inFlight        int
	ordered         bool
	retry           relay.Retry
}

// NewSource is almanac source.
func NewSource(o *command.Options) *cobra.Command {
	f := &sourceFlags{}
	cmd := &cobra.Command{
		Use: "source", Short: "Wake a function over HTTP for each record of topics, or on a schedule", Long: sourceHelp, Args: command.Args(cobra.NoArgs),
		Example: "  almanac source --name mlapp --topics almanac.fact.released --sink http://127.0.0.1:9080\n" +
			"  almanac source --config cluster.yaml --name store --topics almanac.fact.validated --sink http://127.0.0.1:8085\n" +
			"  almanac source --name calendar --schedule '*/10 * * * * *' --sink http://127.0.0.1:8081",
		RunE: func(cmd *cobra.Command, _ []string) error { return runSource(cmd.Context(), o, f) },
	}
	fl := cmd.Flags()
	fl.StringSliceVar(&f.topics, "topics", nil, "Kafka topics to read, from where this source has got to")
	fl.DurationVar(&f.delay, "delay", 0, "how long after each time of the schedule: other than that of other machines, so that not all are woken at once")
	fl.StringVar(&f.schedule, "schedule", "", "in place of topics: cron with 5 fields, or 6 of which the first is seconds")
	fl.StringSliceVar(&f.sinks, "sink", nil, "URL of the function; of each of its instances, if there are several")
	fl.StringVar(&f.deadLetter, "dead-letter", "", "URL that takes what the function does not; without it their topic does")
	fl.StringVar(&f.name, "name", "", "of the source; how far it got is kept under almanac-<name>")
	fl.StringVar(&f.namespace, "namespace", "default", "of the source, in the attributes of events")
	fl.IntVar(&f.inFlight, "in-flight", 2, "events that are sent at once")
	fl.BoolVar(&f.ordered, "ordered", false, "send the records of a partition one after another")
	fl.IntVar(&f.retry.Count, "retries", relay.Patient.Count, "how often an event is sent again")
	fl.DurationVar(&f.retry.Base, "backoff", relay.Patient.Base, "before the first retry twice this, before the second four times, and so on")
	return cmd
}

// check says what is wrong with the flags.
func (f *sourceFlags) check() error {
	var text string
	switch {
	case len(f.sinks) == 0 || slices.Contains(f.sinks, "") || f.name == "":
		text = "--sink and --name are needed: whom to wake, and under which name to remember how far it got"
	case (len(f.topics) == 0) == (f.schedule == ""):
		text = "one of --topics and --schedule is needed: what the function is woken by"
	case f.delay < 0 || f.delay > 0 && f.schedule == "":
		text = "--delay is a time of 0 or more after those of --schedule"
	default:
		return nil
	}
	return command.Exit(command.Usage, errors.New(text))
}

// source runs until ctx ends.
func runSource(ctx context.Context, o *command.Options, f *sourceFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(o.Err, nil)).With("source", f.name)
	client := relay.NewClient(nil)
	defer client.CloseIdleConnections()
	if f.schedule != "" {
		return relay.PingSource{
			Namespace: f.namespace, Name: f.name, Schedule: f.schedule, Delay: f.delay, Sink: f.sinks[0], Others: f.sinks[1:], Retry: f.retry,
			Clock: relay.Running(o.Now), Client: client, Log: log,
		}.Run(ctx)
	}
	cluster, done, err := openKafka(ctx, o, log, func(ctx context.Context, c *kafka.Cluster) error {
		return relay.Ask(ctx, c, f.name, f.topics) // what is missing shows here and not in the log
	})
	if err != nil {
		return err
	}
	defer done()
	return relay.KafkaSource{
		Namespace: f.namespace, Name: f.name, Sink: f.sinks[0], Others: f.sinks[1:], DeadLetter: f.deadLetter, Ordered: f.ordered,
		InFlight: f.inFlight, Retry: f.retry, Client: client, Log: log,
	}.Consume(ctx, cluster, f.topics)
}

// openKafka opens the Kafka of --config, and nothing else of the cluster, or that of the data folder, once it answers.
func openKafka(ctx context.Context, o *command.Options, log *slog.Logger, ask func(context.Context, *kafka.Cluster) error) (*kafka.Cluster, func(), error) {
	env, err := kafkaVariables(o)
	if err != nil {
		return nil, nil, err
	}
	s := &state.State{}
	proc, err := s.NewProcess(ctx, o, env, log)
	if err != nil {
		return nil, nil, err
	}
	if err := o.Patient(ctx, proc); err != nil {
		return nil, nil, errors.Join(err, s.Close())
	}
	cluster, err := stream.Open(ctx, proc, ask)
	if err != nil {
		return nil, nil, errors.Join(err, s.Close())
	}
	return cluster, func() { cluster.Close(); _ = s.Close() }, nil
}

// kafkaVariables is where the variables of Kafka are found: those of --config, or of the process; if that names no Kafka, the broker is that of
// the run that holds the data folder.
func kafkaVariables(o *command.Options) (envconfig.Lookuper, error) {
	if o.Config != "" {
		return o.Environment()
	}
	env := command.Set(o.Env)
	if _, named := env.Lookup("ALMANAC_KAFKA"); named {
		return env, nil
	}
	at, err := state.ReadEndpoints(o.Data)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("no run has been at %s yet, so there is no broker to read from: start almanac run --data %s, or name a cluster by --config",
			o.Data, o.Data)
	}
	if err != nil {
		return nil, err
	}
	return envconfig.MultiLookuper(env, envconfig.MapLookuper(map[string]string{"ALMANAC_KAFKA": at.Kafka})), nil
}

// NewEnv is almanac env.
func NewEnv(o *command.Options) *cobra.Command {
	return &cobra.Command{
		Use: "env", Short: "Print what a cluster's file sets as environment variables, for the functions as programs of their own", Args: command.Args(cobra.NoArgs),
		Example: "  env $(almanac env --config cluster.yaml) PORT=8085 bin/store",
		RunE: func(*cobra.Command, []string) error {
			if o.Config == "" {
				return command.Exit(command.Usage, errors.New("env needs --config"))
			}
			file, err := o.Settings()
			if err != nil {
				return err
			}
			for _, line := range file.Env() {
				o.Printf("%s\n", line)
			}
			if hidden := file.Hidden(); len(hidden) > 0 {
				return command.Exit(command.Failed, fmt.Errorf("%s holds a secret in clear in %s, which is not printed: put it into a file or the secrets store (docs/secrets.md)",
					o.Config, strings.Join(hidden, ", ")))
			}
			return nil
		},
	}
}
