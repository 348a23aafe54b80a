package fn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/propagation"

	"github.com/almanac-data/almanac/functions/internal/fn/endpoint"
	"github.com/almanac-data/almanac/functions/internal/fn/server"
	"github.com/almanac-data/almanac/functions/internal/problem"
)

// Loopback says whether ServeHTTP listens where only this machine can reach it.
func (p *Process) Loopback(ctx context.Context) (bool, error) {
	c, err := p.serverConfig(ctx)
	if err != nil {
		return false, err
	}
	ip := net.ParseIP(c.Host)
	return c.Host == "localhost" || ip != nil && ip.IsLoopback(), nil
}

func (p *Process) serverConfig(ctx context.Context) (server.Config, error) {
	var c server.Config
	if err := Load(ctx, p.Env, &c); err != nil {
		return c, err
	}
	if c.Host == "" && lookup(p.Env, "K_SERVICE", "") == "" {
		c.Host = "127.0.0.1"
	}
	return c, nil
}

// Serve receives CloudEvents for h until ctx is done: by HTTP/1 and h2c on PORT, or, where a Knative JobSink started the
// process (K_EXECUTION_MODE=batch), the one event that lies in a file.
func (p *Process) Serve(ctx context.Context, h endpoint.Handler) error {
	if lookup(p.Env, "K_EXECUTION_MODE", "") == "batch" {
		return endpoint.Job(ctx, p.Name, h, p.Options(0), lookup(p.Env, "K_EVENT_PATH", "/etc/jobsink-event"))
	}
	c, err := p.serverConfig(ctx)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/{$}", endpoint.New(p.Name, h, p.Options(c.Timeout)))
	mux.Handle("/", problem.NotFound("send events to /"))
	return p.ServeHTTP(ctx, mux)
}

// ServeHTTP listens as Serve does, for any handler.
func (p *Process) ServeHTTP(ctx context.Context, h http.Handler) error {
	l, err := p.bind(ctx)
	if err != nil {
		return err
	}
	return p.Listen(ctx, l, h)
}

// bind takes the address that the environment names.
func (p *Process) bind(ctx context.Context) (net.Listener, error) {
	c, err := p.serverConfig(ctx)
	if err != nil {
		return nil, err
	}
	address := net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w; set PORT (and ALMANAC_HOST) to an address that is free", address, err)
	}
	return l, nil
}

// Beside does work while the process answers /healthz, /readyz and /metrics as Listen does, and nothing else: until ctx is done, or the work is. It
// returns when the work has let go. No work is begun where the address is not to be had.
func (p *Process) Beside(ctx context.Context, work func(ctx context.Context) error) error {
	l, err := p.bind(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	worked := make(chan error, 1)
	go func() {
		defer cancel()
		worked <- work(ctx)
	}()
	err = p.Listen(ctx, l, problem.NotFound("there are /healthz, /readyz and /metrics"))
	cancel()
	return errors.Join(err, <-worked)
}

// Listen serves h on l, and beside it /healthz, /readyz and /metrics, until ctx is done; then it drains: it fails probes, waits until no
// request came for ALMANAC_QUIET, stops listening, gives work that has begun ALMANAC_GRACE to end, and cancels it. It closes l.
func (p *Process) Listen(ctx context.Context, l net.Listener, h http.Handler) error {
	c, err := p.serverConfig(ctx)
	if err != nil {
		_ = l.Close()
		return err
	}
	s := &server.Server{Config: c, Front: p.Front, Log: p.Log, Metrics: p.Metrics, Unready: p.unready}
	return s.Listen(ctx, l, h)
}

// Options for the handlers of this process.
func (p *Process) Options(timeout time.Duration) endpoint.Options {
	return endpoint.Options{Log: p.Log, Meter: p.Meter, Tracer: p.Tracer, Timeout: timeout}
}

// Instrument measures the requests to an API that is no events endpoint, and makes a span of each, named by its route.
func (p *Process) Instrument(h http.Handler) http.Handler {
	return otelhttp.NewHandler(p.Meter.Requests(h), p.Name, otelhttp.WithTracerProvider(p.Tracer), otelhttp.WithPropagators(propagation.TraceContext{}))
}

type check struct {
	name string
	ask  func(ctx context.Context) error
}

// Ready adds a check that must pass before /readyz answers 200. Checks run at each request, one after the other, within 5 seconds.
func (p *Process) Ready(name string, ask func(ctx context.Context) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.checks = append(p.checks, check{name, ask})
}

func (p *Process) unready(ctx context.Context) []string {
	p.mu.Lock()
	checks := p.checks
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var all []string
	for _, c := range checks {
		if err := c.ask(ctx); err != nil {
			all = append(all, c.name+": "+err.Error())
		}
	}
	return all
}
