package fn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/propagation"
	"knative.dev/pkg/network/handlers"

	"github.com/almanac-data/almanac/functions/internal/loopback"
	"github.com/almanac-data/almanac/functions/internal/problem"
)

// serverConfig is the part of the configuration that is about the server.
type serverConfig struct {
	Host    string        `env:"ALMANAC_HOST"`              // loopback if empty; every interface in a Knative service (K_SERVICE)
	Port    uint16        `env:"PORT,default=8080"`         // Knative sets it
	Quiet   time.Duration `env:"ALMANAC_QUIET,default=1s"`  // without a request before the server stops listening
	Grace   time.Duration `env:"ALMANAC_GRACE,default=20s"` // for work that has begun; it is cancelled then
	Timeout time.Duration `env:"ALMANAC_TIMEOUT,default=5m"`
}

// Check says what is wrong with the times.
func (c serverConfig) Check() error {
	if c.Quiet < 0 || c.Grace < 0 || c.Timeout <= 0 {
		return fmt.Errorf("ALMANAC_QUIET (%s), ALMANAC_GRACE (%s) must not be negative and ALMANAC_TIMEOUT (%s) longer than 0", c.Quiet, c.Grace, c.Timeout)
	}
	return nil
}

// Front is what a listener shows to strangers. The zero value is plain HTTP, with metrics for everyone; on loopback for everyone who calls this machine
// by a name of its own.
type Front struct {
	TLS     *tls.Config                     // nil for plain HTTP
	Metrics func(http.Handler) http.Handler // lets those in who may read /metrics; nil for everyone. Where it is set the handler has a guard of its own
}

// guard keeps foreign names from all that listens on loopback and has no guard of its own. /healthz says nothing to anybody.
func (f Front) guard(l net.Listener, next http.Handler) http.Handler {
	if f.Metrics != nil || !loopback.Only(l.Addr()) {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := loopback.Refuse(r); p != nil && r.URL.Path != "/healthz" {
			p.Write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// serve answers on l by TLS, if the front has it.
func (f Front) serve(s *http.Server, l net.Listener) error {
	if f.TLS == nil {
		return s.Serve(l)
	}
	s.TLSConfig = f.TLS.Clone()
	return s.ServeTLS(l, "", "")
}

// Loopback says whether ServeHTTP listens where only this machine can reach it.
func (p *Process) Loopback(ctx context.Context) (bool, error) {
	c, err := p.serverConfig(ctx)
	if err != nil {
		return false, err
	}
	ip := net.ParseIP(c.Host)
	return c.Host == "localhost" || ip != nil && ip.IsLoopback(), nil
}

func (p *Process) serverConfig(ctx context.Context) (serverConfig, error) {
	var c serverConfig
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
func (p *Process) Serve(ctx context.Context, h Handler) error {
	if lookup(p.Env, "K_EXECUTION_MODE", "") == "batch" {
		return p.batch(ctx, h)
	}
	c, err := p.serverConfig(ctx)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/{$}", NewHandler(p.Name, h, p.Options(c.Timeout)))
	mux.Handle("/", problem.NotFound("send events to /"))
	return p.ServeHTTP(ctx, mux)
}

// ServeHTTP listens as Serve does, for any handler.
func (p *Process) ServeHTTP(ctx context.Context, h http.Handler) error {
	c, err := p.serverConfig(ctx)
	if err != nil {
		return err
	}
	address := net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen on %s: %w; set PORT (and ALMANAC_HOST) to an address that is free", address, err)
	}
	return p.Listen(ctx, l, h)
}

// Beside does work while the process answers /healthz, /readyz and /metrics as Listen does, and nothing else: until ctx is done, or the work is. It
// returns when the work has let go.
func (p *Process) Beside(ctx context.Context, work func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	worked := make(chan error, 1)
	go func() {
		defer cancel()
		worked <- work(ctx)
	}()
	err := p.ServeHTTP(ctx, problem.NotFound("there are /healthz, /readyz and /metrics"))
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
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s := &server{process: p, config: c}
	s.drainer = &handlers.Drainer{Inner: s.routes(h), HealthCheck: s.probe, QuietPeriod: max(c.Quiet, time.Millisecond)}
	s.http = &http.Server{
		Handler: p.Front.guard(l, s.drainer), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		Protocols:   new(http.Protocols),
		BaseContext: func(net.Listener) context.Context { return context.WithValue(work, lifetime{}, work) },
	}
	s.http.Protocols.SetHTTP1(true)
	s.http.Protocols.SetHTTP2(true)
	s.http.Protocols.SetUnencryptedHTTP2(true)
	failed := make(chan error, 1)
	go func() { failed <- p.Front.serve(s.http, l) }()
	p.Log.Info("listening", "address", l.Addr().String(), "tls", p.Front.TLS != nil)
	select {
	case err := <-failed:
		return fmt.Errorf("serve on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	err = s.stop(work, cancel)
	if end := <-failed; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, end)
	}
	return err
}

// Instrument measures the requests to an API that is no events endpoint, and makes a span of each, named by its route.
func (p *Process) Instrument(h http.Handler) http.Handler {
	return otelhttp.NewHandler(p.Meter.Requests(h), p.Name, otelhttp.WithTracerProvider(p.Tracer), otelhttp.WithPropagators(propagation.TraceContext{}))
}

type server struct {
	process  *Process
	config   serverConfig
	drainer  *handlers.Drainer
	http     *http.Server
	stopping atomic.Bool
}

func (s *server) routes(h http.Handler) http.Handler {
	metrics := promhttp.HandlerFor(s.process.Metrics, promhttp.HandlerOpts{Registry: s.process.Metrics, EnableOpenMetrics: true})
	if guard := s.process.Front.Metrics; guard != nil {
		metrics = guard(metrics)
	}
	mux := http.NewServeMux()
	mux.Handle("/", h)
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("GET /healthz", s.health)
	mux.HandleFunc("GET /readyz", s.ready)
	return mux
}

// stop ends the server in the order that loses no work.
func (s *server) stop(work context.Context, cancel context.CancelFunc) error {
	s.stopping.Store(true)
	quiet := make(chan struct{})
	go func() { s.drainer.Drain(); close(quiet) }()
	// Each request prolongs the quiet period, so it needs an end of its own.
	bound := time.NewTimer(s.config.Quiet + s.config.Grace)
	defer bound.Stop()
	select {
	case <-quiet:
	case <-bound.C:
		s.drainer.Reset()
		<-quiet
	}
	patient, done := context.WithTimeout(work, s.config.Grace)
	defer done()
	err := s.http.Shutdown(patient)
	if errors.Is(err, context.DeadlineExceeded) {
		cancel()
		s.process.Log.Warn("work cancelled", "grace", s.config.Grace.String())
		last, done := context.WithTimeout(context.WithoutCancel(work), 3*time.Second)
		defer done()
		err = s.http.Shutdown(last)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("stop serving: work did not end: %w", err), s.http.Close())
	}
	return nil
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

// probe answers the kubelet, which the drainer knows by its user agent.
func (s *server) probe(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/readyz" {
		s.ready(w, r)
		return
	}
	s.health(w, r)
}

func (s *server) health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n"))
}

func (s *server) ready(w http.ResponseWriter, r *http.Request) {
	if s.stopping.Load() {
		http.Error(w, "shutting down", http.StatusServiceUnavailable)
		return
	}
	if not := s.process.unready(r.Context()); len(not) > 0 {
		http.Error(w, strings.Join(not, "\n"), http.StatusServiceUnavailable)
		return
	}
	s.health(w, r)
}
