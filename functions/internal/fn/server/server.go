// Package server is the HTTP server of a process: what it shows to strangers, its probes and metrics, and how it stops without losing work.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"knative.dev/pkg/network/handlers"

	"github.com/almanac-data/almanac/functions/internal/fn/endpoint"
)

// Server serves one listener: Listen is called once.
type Server struct {
	Config  Config
	Front   Front
	Log     *slog.Logger
	Metrics *prometheus.Registry
	Unready func(ctx context.Context) []string // says what is not ready

	drainer  *handlers.Drainer
	http     *http.Server
	stopping atomic.Bool
}

// Listen serves h on l, and beside it /healthz, /readyz and /metrics, until ctx is done; then it drains: it fails probes, waits until no
// request came for ALMANAC_QUIET, stops listening, gives work that has begun ALMANAC_GRACE to end, and cancels it. It closes l.
func (s *Server) Listen(ctx context.Context, l net.Listener, h http.Handler) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s.drainer = &handlers.Drainer{Inner: s.routes(h), HealthCheck: s.probe, QuietPeriod: max(s.Config.Quiet, time.Millisecond)}
	s.http = &http.Server{
		Handler: s.Front.Guard(l, s.drainer), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		Protocols:   new(http.Protocols),
		BaseContext: func(net.Listener) context.Context { return endpoint.Lifetime(work) },
	}
	s.http.Protocols.SetHTTP1(true)
	s.http.Protocols.SetHTTP2(true)
	s.http.Protocols.SetUnencryptedHTTP2(true)
	failed := make(chan error, 1)
	go func() { failed <- s.Front.Serve(s.http, l) }()
	s.Log.Info("listening", "address", l.Addr().String(), "tls", s.Front.TLS != nil)
	select {
	case err := <-failed:
		return fmt.Errorf("serve on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	err := s.stop(work, cancel)
	if end := <-failed; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, end)
	}
	return err
}

func (s *Server) routes(h http.Handler) http.Handler {
	metrics := promhttp.HandlerFor(s.Metrics, promhttp.HandlerOpts{Registry: s.Metrics, EnableOpenMetrics: true})
	if guard := s.Front.Metrics; guard != nil {
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
func (s *Server) stop(work context.Context, cancel context.CancelFunc) error {
	s.stopping.Store(true)
	quiet := make(chan struct{})
	go func() { s.drainer.Drain(); close(quiet) }()
	// Each request prolongs the quiet period, so it needs an end of its own.
	bound := time.NewTimer(s.Config.Quiet + s.Config.Grace)
	defer bound.Stop()
	select {
	case <-quiet:
	case <-bound.C:
		s.drainer.Reset()
		<-quiet
	}
	patient, done := context.WithTimeout(work, s.Config.Grace)
	defer done()
	err := s.http.Shutdown(patient)
	if errors.Is(err, context.DeadlineExceeded) {
		cancel()
		s.Log.Warn("work cancelled", "grace", s.Config.Grace.String())
		last, done := context.WithTimeout(context.WithoutCancel(work), 3*time.Second)
		defer done()
		err = s.http.Shutdown(last)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("stop serving: work did not end: %w", err), s.http.Close())
	}
	return nil
}

// probe answers the kubelet, which the drainer knows by its user agent.
func (s *Server) probe(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/readyz" {
		s.ready(w, r)
		return
	}
	s.health(w, r)
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n"))
}

func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	if s.stopping.Load() {
		http.Error(w, "shutting down", http.StatusServiceUnavailable)
		return
	}
	if not := s.Unready(r.Context()); len(not) > 0 {
		http.Error(w, strings.Join(not, "\n"), http.StatusServiceUnavailable)
		return
	}
	s.health(w, r)
}
