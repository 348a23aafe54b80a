package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/almanac-data/almanac/tests/internal/box"
)

// serving starts a run that serves until it is stopped.
func (s *shop) serving(t *testing.T, args ...string) *box.Running {
	t.Helper()
	running, err := s.Start(append([]string{"run", "--listen", "127.0.0.1:0"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { running.Stop() })
	if _, err := running.Await(`Serving on`, patience); err != nil {
		t.Fatal(err)
	}
	return running
}

// TestSourceOfADataFolder wakes an application by the releases of a run, over two runs, which have their broker at one port.
func TestSourceOfADataFolder(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	contains(t, "a source before any run", run(t, s.Box, 1, "source", "--name", "x", "--topics", "almanac.fact.released", "--sink", "http://127.0.0.1:9").Err,
		"almanac run --data "+s.Data)
	versions := make(chan string, 100)
	application := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		versions <- fmt.Sprint(r.Header.Get("Ce-Type"), " ", r.Header.Get("Ce-Subject"))
	}))
	defer application.Close()
	port := freePort(t)
	first := s.serving(t, "--kafka-port", port, "--to", "2024-01-10")
	source, err := s.Start("source", "--name", "application", "--topics", "almanac.fact.released", "--sink", application.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { source.Stop() })
	wait := func(subject string) {
		t.Helper()
		for limit := time.After(patience); ; {
			select {
			case got := <-versions:
				if got == "dev.almanac.released.v1 "+subject {
					return
				}
				if !strings.HasPrefix(got, "dev.almanac.released.v1 ") {
					t.Fatalf("the application got %s", got)
				}
			case <-source.Ended():
				t.Fatalf("the source has ended: %s", source.Result())
			case <-limit:
				t.Fatalf("nobody told of the release of %s", subject)
			}
		}
	}
	wait("shop/2024-W01")
	first.Stop()
	s.serving(t, "--kafka-port", port)
	wait("shop/2024-W02")
	run(t, overServers(t).Box, 2, "run", "--no-serve", "--kafka-port", port)
	other := newShop(t)
	contains(t, "a port that is taken", run(t, other.Box, 1, "run", "--no-serve", "--kafka-port", port).Err, "port "+port+" is taken")
}
