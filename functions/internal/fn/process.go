// Package fn is the runtime of a function: a process with its configuration, its secrets, its log, metrics and traces, which serves
// CloudEvents or any HTTP handler. Signals, exit codes, the HTTP server, probes and draining live here, in server and in endpoint,
// and nowhere else; so do the clock and the environment.
package fn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/sethvargo/go-envconfig"
	"go.opentelemetry.io/otel/trace"
	"knative.dev/pkg/signals"

	"github.com/almanac-data/almanac/functions/internal/fn/await"
	"github.com/almanac-data/almanac/functions/internal/fn/meter"
	"github.com/almanac-data/almanac/functions/internal/fn/server"
)

// Process is what a function runs in.
type Process struct {
	Name    string
	Log     *slog.Logger
	Env     envconfig.Lookuper // whose variables may be references to the secrets store
	Metrics *prometheus.Registry
	Meter   *meter.Metrics // Almanac's own metrics; registered in Metrics
	Tracer  trace.TracerProvider
	Now     func() time.Time
	Front   server.Front // of what it serves; set before Await and ServeHTTP

	service bool // answers probes while it waits for servers at its start
	waiter  await.Waiter
	secrets *Secrets // Env
	mu      sync.Mutex
	checks  []check
	flush   func(context.Context) error
}

// Main runs a function until it is done or a SIGINT or SIGTERM arrives, and ends the process: with 0 when run returned nil or
// was interrupted, else with 1, and so when a job was interrupted. A second signal ends it at once.
func Main(name string, run func(ctx context.Context, p *Process) error) {
	os.Exit(execute(signals.NewContext(), name, envconfig.OsLookuper(), os.Stderr, run))
}

func execute(ctx context.Context, name string, env envconfig.Lookuper, stderr io.Writer, run func(context.Context, *Process) error) int {
	log := newLogger(name, env, stderr)
	p, err := New(ctx, name, env, log, time.Now)
	if err != nil {
		log.Error("start failed", "error", err.Error())
		return 1
	}
	p.service = lookup(env, "K_EXECUTION_MODE", "") != "batch"
	if err = p.Patient(ctx, func(text string) { log.Warn("waiting for a server", "reason", text) }); err == nil {
		err = run(ctx, p)
	}
	p.Close() //nolint:contextcheck // ctx may be done, and what is left is still to be sent
	// A job that is interrupted has not done its event, and must not count as complete.
	interrupted := p.service && errors.Is(err, context.Canceled) && ctx.Err() != nil
	if err != nil && !interrupted {
		log.Error("function failed", "error", err.Error())
		return 1
	}
	log.Info("function ended")
	return 0
}

// New makes a process: its registry with the Go and process collectors, its metrics and its tracer. Close flushes it.
func New(ctx context.Context, name string, env envconfig.Lookuper, log *slog.Logger, now func() time.Time) (*Process, error) {
	tracer, flush, err := newTracer(ctx, name, env)
	if err != nil {
		return nil, fmt.Errorf("start tracing: %w", err)
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	p := &Process{Name: name, Log: log, Now: now, Metrics: reg, Meter: meter.New(reg, now), Tracer: tracer, flush: flush}
	if s, ok := env.(*Secrets); ok {
		env = s.Lookuper // each process logs in by itself
	}
	p.secrets = NewSecrets(env, name, log)
	p.secrets.await, p.Env = p.Await, p.secrets
	return p, nil
}

// Close logs out of the secrets store, and sends what is left of the traces. It takes at most a few seconds.
func (p *Process) Close() {
	if err := p.secrets.Close(); err != nil {
		p.Log.Warn("secrets not let go of", "error", err.Error())
	}
	if p.flush == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := p.flush(ctx); err != nil {
		p.Log.Warn("traces lost", "error", err.Error())
	}
}

func newLogger(name string, env envconfig.Lookuper, w io.Writer) *slog.Logger {
	var level slog.Level
	text := lookup(env, "ALMANAC_LOG", "info")
	unknown := level.UnmarshalText([]byte(text)) != nil
	log := slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})).With("function", name)
	for _, of := range [][2]string{{"K_SERVICE", "service"}, {"K_REVISION", "revision"}} {
		if v := lookup(env, of[0], ""); v != "" {
			log = log.With(of[1], v)
		}
	}
	if unknown {
		log.Warn("log level unknown", "variable", "ALMANAC_LOG", "value", text, "known", "debug, info, warn, error")
	}
	return log
}

func lookup(env envconfig.Lookuper, name, otherwise string) string {
	if v, ok := env.Lookup(name); ok && v != "" {
		return v
	}
	return otherwise
}
