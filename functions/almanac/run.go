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
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/almanac-data/almanac/functions/internal/calendar"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/platform"
	"github.com/almanac-data/almanac/functions/internal/table"
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

func newRun(o *options) *cobra.Command {
	f := &runFlags{}
	cmd := &cobra.Command{
		Use: "run", Short: "Do all that is due, then serve the HTTP API", Long: runHelp, Args: usage(cobra.NoArgs),
		Example: "  almanac run\n  almanac run --no-serve --to 2001-02-15\n  almanac run --listen 127.0.0.1:9000\n  almanac run --config cluster.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := run(cmd.Context(), o, f)
			if err != nil && cmd.Context().Err() != nil {
				return &codedError{1, errors.New("interrupted; the same command goes on where this one was")}
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

func run(ctx context.Context, o *options, f *runFlags) (err error) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if f.profile != "" {
		stop, err := profile(f.profile)
		if err != nil {
			return err
		}
		defer stop()
	}
	open, clock, err := prepare(o, f)
	if err != nil {
		return err
	}
	l, err := listen(ctx, f)
	if err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	if f.logs {
		log = slog.New(slog.NewJSONHandler(o.err, nil))
	}
	s, err := open(ctx, log)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	clock.leaveOut(s.catalog.Catalog)
	clock.leaveOut(s.catalog.Schedule)
	s.now = clock.Now
	h, err := newHost(ctx, s, log)
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
func prepare(o *options, f *runFlags) (open func(context.Context, *slog.Logger) (*state, error), clock *runClock, err error) {
	clock = &runClock{}
	if clock.fixed, err = day("--to", f.to); err != nil {
		return nil, nil, err
	}
	if clock.from, err = day("--from", f.from); err != nil {
		return nil, nil, err
	}
	if o.config != "" && f.kafkaPort != 0 {
		return nil, nil, &codedError{codeUsage, errors.New("--kafka-port is that of the embedded broker, and --config names another")}
	}
	if o.config != "" {
		return func(ctx context.Context, log *slog.Logger) (*state, error) { return awaitCluster(ctx, o, log) }, clock, nil
	}
	var catalog *platform.Datasets
	if o.datasets != platform.Published {
		if catalog, err = platform.FolderDatasets(o.datasets); err != nil {
			return nil, nil, err
		}
	}
	return func(ctx context.Context, log *slog.Logger) (*state, error) {
		if catalog == nil {
			if catalog, err = openDatasets(ctx, o, log); err != nil {
				return nil, err
			}
		}
		s, err := openState(ctx, o.data, catalog, int(f.kafkaPort), log)
		if err != nil {
			return nil, errors.Join(err, catalog.Close())
		}
		s.close = slices.Insert(s.close, 0, catalog.Close)
		if s.folder != nil {
			// The data folder is taken: whoever began something has ended. What stays is swept later, and does no harm.
			if _, swept := s.lake.Sweep(ctx, 0); swept != nil {
				log.Warn("sweep failed", "error", swept.Error())
			}
		}
		return s, nil
	}, clock, checkSpace(o.data)
}

// runClock is the time of the schedules: the wall's, or one that stands still. Windows that start before from do not count.
type runClock struct{ fixed, from time.Time }

func (c *runClock) Now() time.Time {
	if c.fixed.IsZero() {
		return wall()
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

func day(flag, value string) (time.Time, error) {
	if value == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.DateOnly, value)
	if err != nil {
		return t, &codedError{codeUsage, fmt.Errorf("%s %q is not a day such as 2001-02-01", flag, value)}
	}
	return t, nil
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
		return nil, errors.Join(&codedError{codeUsage, err}, l.Close())
	}
	return l, nil
}

func hostUntilDone(ctx context.Context, o *options, h *host, l net.Listener, f *runFlags) error {
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	ended := h.serve(serving, l)
	working, stopWorking := context.WithCancel(ctx)
	defer stopWorking()
	if err := h.announce(working, o.data, f); err != nil {
		return err
	}
	if err := h.start(working); err != nil {
		return err
	}
	after, err := replay(working, o, h)
	if err == nil && !f.noServe {
		invite(o, h, after)
		select {
		case <-ctx.Done():
		case err = <-ended:
			return errors.Join(err, errors.New("the server has ended"))
		}
	}
	stopWorking()
	h.sources.Wait()
	h.idle()
	stopServing()
	if e := <-ended; e != nil {
		err = errors.Join(err, e)
	}
	switch {
	case err != nil && ctx.Err() == nil:
		return err
	case ctx.Err() != nil && f.noServe:
		return ctx.Err()
	case attention(after):
		return &codedError{code: codeAttention}
	}
	return nil
}

// announce writes where this process can be reached, for the other commands.
func (h *host) announce(_ context.Context, data string, f *runFlags) error {
	if h.folder == nil {
		return nil // a cluster is found by its configuration
	}
	at := endpoints{PID: os.Getpid(), Kafka: h.cluster.Config.Brokers[0], HTTP: h.base}
	if f.to != "" {
		at.Clock = h.now().Format(time.RFC3339)
	}
	raw, err := json.Marshal(at)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(data, endpointsFile), raw, 0o600)
}

const lookEach = 200 * time.Millisecond

// replay shows the work until nothing is left that goes on by itself.
func replay(ctx context.Context, o *options, h *host) ([]surveyed, error) {
	p := progressOf(o)
	// A cluster's calendar is woken again, which helps unless a person must mend a table.
	if err := h.handlers["calendar"](ctx, nil); err != nil && (h.folder != nil || errors.Is(err, table.ErrNoMap) || errors.Is(err, table.ErrLost)) {
		return nil, err
	}
	tick := time.NewTicker(lookEach)
	defer tick.Stop()
	began, worked := wall(), false
	for {
		if h.folder != nil {
			if err := checkSpace(o.data); err != nil {
				return nil, err
			}
		}
		all, idle, err := h.lookPatiently(ctx)
		if err != nil {
			return nil, err
		}
		if busy(all) {
			worked = true
		}
		if worked && !o.json {
			p.show(all, h.troubles.lines(), wall())
		}
		if idle {
			h.trimLast(ctx)
			return all, summary(o, all, worked, wall().Sub(began))
		}
		select {
		case <-ctx.Done():
			return all, ctx.Err()
		case <-tick.C:
		}
	}
}

// outage is how long the servers of a cluster may not answer before a run gives up.
const outage = 5 * time.Minute

// lookPatiently is look. On a cluster it waits while servers do not answer.
func (h *host) lookPatiently(ctx context.Context) (all []surveyed, idle bool, err error) {
	for began := wall(); ; {
		if all, idle, err = h.look(ctx); err == nil || h.folder != nil || ctx.Err() != nil || wall().Sub(began) > outage {
			return all, idle, err
		}
		h.log.WarnContext(ctx, "servers do not answer", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// look surveys all datasets, and says whether nothing goes on any more. Events are looked for only when no window is under way, and
// the windows then once more: an event that was still on its way may have changed them.
func (h *host) look(ctx context.Context) (all []surveyed, idle bool, err error) {
	if all, err = h.survey(ctx, nil); err != nil || busy(all) {
		return all, false, err
	}
	lag, err := h.lag(ctx)
	if err != nil || lag > 0 {
		return all, false, err
	}
	all, err = h.survey(ctx, nil)
	return all, !busy(all), err
}

// busy says whether anything goes on, or is about to.
func busy(all []surveyed) bool {
	for _, s := range all {
		for _, st := range s.states {
			switch st.Phase {
			case calendar.Stored, calendar.Aggregated, calendar.Released, calendar.Blocked, calendar.Waiting, calendar.Stopped:
			default:
				return true
			}
		}
	}
	return false
}

func progressOf(o *options) *progress {
	file, ok := o.out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return newProgress(o.out, false, 0, wall())
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil {
		width = 80
	}
	return newProgress(o.out, true, width, wall())
}

func summary(o *options, all []surveyed, worked bool, took time.Duration) error {
	if o.json {
		return o.printJSON(all)
	}
	switch {
	case !worked && attention(all):
		o.printf("nothing can be done until what waits below is mended\n")
	case !worked:
		o.printf("nothing to do: everything is up to date\n")
	default:
		o.printf("done in %.1fs\n", took.Seconds())
	}
	printStatus(o, all, false)
	return nil
}

// invite says in three lines what to try.
func invite(o *options, h *host, all []surveyed) {
	if o.json {
		return
	}
	name, version, most := "", "", int64(-1)
	for _, s := range all {
		for _, st := range s.states {
			if st.Version != "" && st.Rows > most {
				name, version, most = s.Dataset, st.Version, st.Rows
			}
		}
	}
	o.printf("\nServing on %s (Ctrl-C ends).", h.base)
	if version == "" {
		o.printf(" There is no release yet.\n")
		return
	}
	o.printf(" Try, in another terminal:\n")
	o.printf("  curl %s/v1/datasets/%s/releases\n", h.base, name)
	o.printf("  curl '%s/v1/datasets/%s/releases/%s/rows?format=csv&limit=5'\n", h.base, name, version)
	o.printf("  bin/almanac releases verify %s\n", version)
}
