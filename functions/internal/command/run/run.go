// Package run has the command that does all that is due in one process, and then serves.
package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/command/disk"
	"github.com/almanac-data/almanac/functions/internal/command/host"
	"github.com/almanac-data/almanac/functions/internal/command/open"
	"github.com/almanac-data/almanac/functions/internal/command/state"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/platform"
)

const runHelp = `Run hosts every function in one process and does all that is due: it collects, processes, validates and stores
each window, aggregates, delivers, and then serves the HTTP API until it is interrupted.

It may be stopped at any moment, also by kill -9, and goes on where it was. Run on a finished state it does no work.

With --config the same job is done over real servers: Kafka, HDFS and Spark, as the file says (docs/cluster.md).`

type runFlags struct {
	noServe   bool
	from, to  string
	listen    string
	kafkaPort uint16
	logs      bool
	profile   string
}

// New is almanac run.
func New(o *command.Options) *cobra.Command {
	f := &runFlags{}
	cmd := &cobra.Command{
		Use: "run", Short: "Do all that is due, then serve the HTTP API", Long: runHelp, Args: command.Args(cobra.NoArgs),
		Example: "  almanac run\n  almanac run --no-serve --to 2001-02-15\n  almanac run --listen 127.0.0.1:9000\n  almanac run --config cluster.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := run(cmd.Context(), o, f)
			if err != nil && cmd.Context().Err() != nil {
				return command.Exit(command.Failed, errors.New("interrupted; the same command goes on where this one was"))
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&f.noServe, "no-serve", false, "end when nothing is left to do")
	cmd.Flags().StringVar(&f.from, "from", "", "leave out collection windows that start before this day (2001-02-01)")
	cmd.Flags().StringVar(&f.to, "to", "", "set the clock to the start of this day (2001-02-01); the default is now")
	cmd.Flags().StringVar(&f.listen, "listen", "127.0.0.1:8080", "address of the HTTP API and of the functions")
	cmd.Flags().Uint16Var(&f.kafkaPort, "kafka-port", 0, "loopback port of the embedded broker, for clients that outlive a run; 0 takes any free one")
	cmd.Flags().BoolVar(&f.logs, "logs", false, "write the functions' logs to standard error")
	cmd.Flags().StringVar(&f.profile, "cpuprofile", "", "write a CPU profile of the run to this file, for go tool pprof")
	return cmd
}

// memoryLimit is where Go begins to collect garbage harder; DuckDB has a limit of its own beside it. Below it garbage is collected when there
// is gcPercent as much of it as of what lives: most of it are buffers of blocks, which come and go.
const (
	memoryLimit = 200 << 20
	gcPercent   = 300
)

func run(ctx context.Context, o *command.Options, f *runFlags) (err error) {
	if limit, _ := o.Env.Lookup("GOMEMLIMIT"); limit == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	if percent, _ := o.Env.Lookup("GOGC"); percent == "" {
		debug.SetGCPercent(gcPercent)
	}
	if f.profile != "" {
		stop, err := profile(f.profile)
		if err != nil {
			return err
		}
		defer stop()
	}
	take, clock, err := prepare(o, f)
	if err != nil {
		return err
	}
	l, err := listen(ctx, f)
	if err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	if f.logs {
		log = slog.New(slog.NewJSONHandler(o.Err, nil))
	}
	s, err := take(ctx, log)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	clock.leaveOut(s.Datasets.Catalog)
	clock.leaveOut(s.Datasets.Schedule)
	s.Now = clock.Now
	h, err := host.New(ctx, o, s, log)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	return hostUntilDone(ctx, o, h, l, f)
}

// profile begins a CPU profile; the function that it returns ends it.
func profile(path string) (stop func(), err error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		_ = file.Close() // a profile that is cut off shows when it is read
	}, nil
}

// prepare reads the flags and, for a data folder, the datasets, and complains before anything is opened. It returns what opens it.
func prepare(o *command.Options, f *runFlags) (take func(context.Context, *slog.Logger) (*state.State, error), clock *runClock, err error) {
	clock = &runClock{wall: o.Now}
	if clock.fixed, err = command.Day("--to", f.to); err != nil {
		return nil, nil, err
	}
	if clock.from, err = command.Day("--from", f.from); err != nil {
		return nil, nil, err
	}
	if o.Config != "" && f.kafkaPort != 0 {
		return nil, nil, command.Exit(command.Usage, errors.New("--kafka-port is that of the embedded broker, and --config names another"))
	}
	if o.Config != "" {
		return func(ctx context.Context, log *slog.Logger) (*state.State, error) { return state.Await(ctx, o, log) }, clock, nil
	}
	var catalog *platform.Datasets
	if o.Datasets != platform.Published {
		if catalog, err = platform.FolderDatasets(o.Datasets); err != nil {
			return nil, nil, err
		}
	}
	return func(ctx context.Context, log *slog.Logger) (*state.State, error) {
		if catalog == nil {
			if catalog, err = open.Datasets(ctx, o, log); err != nil {
				return nil, err
			}
		}
		s, err := state.OpenFolder(ctx, o, catalog, int(f.kafkaPort), log)
		if err != nil {
			return nil, err
		}
		if s.Folder != nil {
			// The data folder is taken: whoever began something has ended. What stays is swept later, and does no harm.
			if _, swept := s.Lake.Sweep(ctx, 0); swept != nil {
				log.Warn("sweep failed", "error", swept.Error())
			}
		}
		return s, nil
	}, clock, disk.Check(o.Data)
}

// runClock is the time of the schedules: the wall's, or one that stands still. Windows that start before from do not count.
type runClock struct {
	fixed, from time.Time
	wall        func() time.Time
}

func (c *runClock) Now() time.Time {
	if c.fixed.IsZero() {
		return c.wall()
	}
	return c.fixed
}

func (c *runClock) leaveOut(catalog *dataset.Catalog) {
	catalog.Adapt(func(d *dataset.Dataset) {
		if c.from.After(d.Collect.Start) {
			d.Collect.Start = c.from
		}
	})
}

func listen(ctx context.Context, f *runFlags) (net.Listener, error) {
	address := f.listen
	if f.noServe {
		address = "127.0.0.1:0"
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen on %s: another program uses this port; end it, or choose another with --listen 127.0.0.1:0 (0 takes any free one)", address)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	if ip := l.Addr().(*net.TCPAddr).IP; !ip.IsLoopback() {
		err := fmt.Errorf("listen on %s: only loopback addresses are allowed, since nobody is asked who he is; bin/serve may listen elsewhere, see docs/security.md", address)
		return nil, errors.Join(command.Exit(command.Usage, err), l.Close())
	}
	return l, nil
}
