package server

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/almanac-data/almanac/functions/internal/problem"
)

// Door answers in place of a function that is not ready to: 200 to /healthz, 503 with the reason to all else.
type Door struct {
	Config func(ctx context.Context) (Config, error) // says where, once it is asked to answer
	Front  Front

	mu     sync.Mutex
	text   string
	http   *http.Server
	ended  sync.WaitGroup
	closed bool
}

// Say sets the reason, and opens the door when it is first called.
func (d *Door) Say(ctx context.Context, text string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.text = text
	if d.http != nil || d.closed {
		return nil
	}
	c, err := d.Config(ctx)
	if err != nil {
		return err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))))
	if err != nil {
		return err
	}
	d.http = &http.Server{Handler: d.Front.Guard(l, d), ReadHeaderTimeout: 10 * time.Second}
	d.ended.Go(func() { _ = d.Front.Serve(d.http, l) }) // ends by Close
	return nil
}

func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/healthz" {
		_, _ = w.Write([]byte("ok\n")) // who asked may be gone
		return
	}
	d.mu.Lock()
	text := d.text
	d.mu.Unlock()
	w.Header().Set("Retry-After", "2")
	problem.New(http.StatusServiceUnavailable, "%s", text).Write(w)
}

// Close closes it, and waits until its port is free.
func (d *Door) Close() {
	d.mu.Lock()
	d.closed = true
	server := d.http
	d.mu.Unlock()
	if server != nil {
		_ = server.Close() // its port is free then, which the function needs
		d.ended.Wait()
	}
}
