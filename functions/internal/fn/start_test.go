package fn

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sethvargo/go-envconfig"
)

// TestAFunctionThatWaitsIsNotReadyAndSaysWhy starts a function before the server that it stands on, asks it, and lets the server come.
func TestAFunctionThatWaitsIsNotReadyAndSaysWhy(t *testing.T) {
	_, port, err := net.SplitHostPort(freeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	url := "http://127.0.0.1:" + port
	away := errors.New("connection refused")
	there := make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() {
		code <- execute(ctx, "process", envconfig.MapLookuper(map[string]string{"PORT": port, "ALMANAC_QUIET": "1ms", "ALMANAC_START_PATIENCE": "1m"}), io.Discard,
			func(ctx context.Context, p *Process) error {
				err := p.Await(ctx, "Kafka at k:9092 (ALMANAC_KAFKA)", func(err error) bool { return errors.Is(err, away) }, func(context.Context) error {
					select {
					case <-there:
						return nil
					default:
						return away
					}
				})
				if err != nil {
					return err
				}
				return p.ServeHTTP(ctx, http.NotFoundHandler())
			})
	}()
	until(t, "it is not ready and says why", func() bool {
		status, text := get(url + "/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(text, "waiting for Kafka at k:9092 (ALMANAC_KAFKA), up to 1m0s (ALMANAC_START_PATIENCE): connection refused")
	})
	if status, _ := get(url + "/healthz"); status != http.StatusOK {
		t.Errorf("it lives, and /healthz answers %d", status)
	}
	if status, _ := get(url + "/"); status != http.StatusServiceUnavailable {
		t.Errorf("an event is answered by %d, want 503", status)
	}
	close(there)
	until(t, "it is ready", func() bool { status, _ := get(url + "/readyz"); return status == http.StatusOK })
	stop()
	if got := <-code; got != 0 {
		t.Errorf("it ends with %d", got)
	}
}

func TestAFunctionGivesUpWhenItsPatienceIsOver(t *testing.T) {
	var log strings.Builder
	away := errors.New("connection refused")
	env := envconfig.MapLookuper(map[string]string{"ALMANAC_START_PATIENCE": "500ms", "PORT": "0"})
	got := execute(t.Context(), "process", env, &log, func(ctx context.Context, p *Process) error {
		return p.Await(ctx, "Kafka at k:9092 (ALMANAC_KAFKA)", func(error) bool { return true }, func(context.Context) error { return away })
	})
	if got != 1 || !strings.Contains(log.String(), "gave up waiting for Kafka at k:9092 (ALMANAC_KAFKA) after 500ms (ALMANAC_START_PATIENCE): connection refused") {
		t.Errorf("it ends with %d and says %s", got, &log)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l := listener(t)
	defer l.Close()
	return l.Addr().String()
}

func get(url string) (status int, text string) {
	response, err := http.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(body)
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 500 {
		if ok() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("%s: never", what)
}
