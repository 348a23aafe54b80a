package fn

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sethvargo/go-envconfig"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/certs/certstest"
	"github.com/almanac-data/almanac/functions/internal/fn/server"
)

// TestAFunctionWithTLSAnswersByItFromTheStart starts one that waits for a server, and lets the server come.
func TestAFunctionWithTLSAnswersByItFromTheStart(t *testing.T) {
	address := freeAddress(t)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	ca := certstest.NewAuthority(t, "ca")
	_, _, pair := ca.Issue(t.TempDir(), "server", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool(), MinVersion: tls.VersionTLS13}, DisableKeepAlives: true}
	ask := func(path string) int {
		resp, err := (&http.Client{Transport: transport}).Get("https://" + address + path)
		if err != nil {
			return 0
		}
		defer func() { _ = resp.Body.Close() }()
		return resp.StatusCode
	}
	there := make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() {
		env := envconfig.MapLookuper(map[string]string{"PORT": port, "ALMANAC_QUIET": "1ms", "ALMANAC_START_PATIENCE": "1m"})
		code <- execute(ctx, "serve", env, io.Discard, func(ctx context.Context, p *Process) error {
			p.Front.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}
			p.Front.Metrics = func(http.Handler) http.Handler { return http.NotFoundHandler() }
			err := p.Await(ctx, "Kafka", func(error) bool { return true }, func(context.Context) error {
				select {
				case <-there:
					return nil
				default:
					return errors.New("away")
				}
			})
			if err != nil {
				return err
			}
			return p.ServeHTTP(ctx, http.NotFoundHandler())
		})
	}()
	until(t, "it says by TLS that it is not ready", func() bool { return ask("/readyz") == http.StatusServiceUnavailable })
	close(there)
	until(t, "it is ready", func() bool { return ask("/readyz") == http.StatusOK })
	if got := ask("/metrics"); got != http.StatusNotFound {
		t.Errorf("metrics are handed out past their guard: %d", got)
	}
	stop()
	if got := <-code; got != 0 {
		t.Errorf("it ends with %d", got)
	}
}

func TestLoopback(t *testing.T) {
	for name, tt := range map[string]struct {
		env  map[string]string
		want bool
	}{
		"by default":  {nil, true},
		"IPv6":        {map[string]string{"ALMANAC_HOST": "::1"}, true},
		"another one": {map[string]string{"ALMANAC_HOST": "127.8.8.8"}, true},
		"localhost":   {map[string]string{"ALMANAC_HOST": "localhost"}, true},
		"in Knative":  {map[string]string{"K_SERVICE": "serve"}, false},
		"everywhere":  {map[string]string{"ALMANAC_HOST": "0.0.0.0"}, false},
		"a name":      {map[string]string{"ALMANAC_HOST": "loopback.example.org"}, false},
	} {
		if got, err := newProcess(t, tt.env).Loopback(t.Context()); err != nil || got != tt.want {
			t.Errorf("%s: Loopback = %v, %v, want %v", name, got, err, tt.want)
		}
	}
}

// as asks for something by a name of the server.
func as(t *testing.T, host, method, url string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// TestAForeignNameIsRefusedOnLoopback asks functions that receive events, that work beside their probes, and that still wait for a server.
func TestAForeignNameIsRefusedOnLoopback(t *testing.T) {
	away := errors.New("away")
	for name, tt := range map[string]struct {
		run  func(ctx context.Context, p *Process) error
		want map[string]int // by names of this machine
	}{
		"events": {func(ctx context.Context, p *Process) error {
			return p.Serve(ctx, func(context.Context, events.Event) error { return nil })
		}, map[string]int{"GET /metrics": 200, "GET /readyz": 200, "POST /": 415, "GET /other": 404}},
		"beside": {func(ctx context.Context, p *Process) error {
			return p.Beside(ctx, func(ctx context.Context) error { <-ctx.Done(); return nil })
		}, map[string]int{"GET /metrics": 200, "GET /readyz": 200, "GET /": 404}},
		"waiting": {func(ctx context.Context, p *Process) error {
			return p.Await(ctx, "Kafka", func(error) bool { return true }, func(context.Context) error { return away })
		}, map[string]int{"GET /metrics": 503, "GET /readyz": 503, "POST /": 503}},
	} {
		t.Run(name, func(t *testing.T) {
			address := freeAddress(t)
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			code := make(chan int, 1)
			go func() {
				env := envconfig.MapLookuper(map[string]string{"PORT": port, "ALMANAC_QUIET": "1ms", "ALMANAC_START_PATIENCE": "1m"})
				code <- execute(ctx, "process", env, io.Discard, tt.run)
			}()
			until(t, "it answers", func() bool { return as(t, "", http.MethodGet, "http://"+address+"/healthz") == http.StatusOK })
			if got := as(t, "evil.example", http.MethodGet, "http://"+address+"/healthz"); got != http.StatusOK {
				t.Errorf("/healthz, which says nothing, answers %d", got)
			}
			for request, want := range tt.want {
				method, path, _ := strings.Cut(request, " ")
				for _, host := range []string{"", "localhost:" + port} {
					if got := as(t, host, method, "http://"+address+path); got != want {
						t.Errorf("%s as %q = %d, want %d", request, host, got, want)
					}
				}
				if got := as(t, "evil.example:"+port, method, "http://"+address+path); got != http.StatusMisdirectedRequest {
					t.Errorf("%s by a foreign name = %d, want 421", request, got)
				}
			}
			stop()
			<-code
		})
	}
}

func TestAForeignNameIsNoneElsewhere(t *testing.T) {
	for name, tt := range map[string]struct {
		address string
		front   server.Front
	}{
		"on every interface":      {"0.0.0.0:0", server.Front{}},
		"with a guard of its own": {"127.0.0.1:0", server.Front{Metrics: func(next http.Handler) http.Handler { return next }}},
	} {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", tt.address)
		if err != nil {
			t.Fatal(err)
		}
		p := newProcess(t, map[string]string{"ALMANAC_QUIET": "1ms"})
		p.Front = tt.front
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.Listen(ctx, l, http.NotFoundHandler()) }()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		if got := as(t, "collect.almanac.svc", http.MethodGet, "http://127.0.0.1:"+port+"/metrics"); got != http.StatusOK {
			t.Errorf("%s: /metrics = %d, want 200", name, got)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
