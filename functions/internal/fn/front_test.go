package fn

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/sethvargo/go-envconfig"

	"github.com/almanac-data/almanac/functions/internal/certs/certstest"
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
