package fn

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/almanac-data/almanac/functions/internal/fn/await"
	"github.com/almanac-data/almanac/functions/internal/problem"
)

// Patient makes Await wait, for as long as ALMANAC_START_PATIENCE says, and tell what it waits for.
func (p *Process) Patient(ctx context.Context, tell func(text string)) error {
	var c await.Config
	if err := Load(ctx, p.Env, &c); err != nil {
		return err
	}
	p.waiter = await.Waiter{Patience: c.Patience, Tell: tell}
	return nil
}

// Await opens a server that the process stands on. A function that was started before the server waits for it while the error is one that may
// pass; /readyz says what it waits for. Any other process tries once, unless it is Patient.
func (p *Process) Await(ctx context.Context, server string, passing func(error) bool, open func(context.Context) error) error {
	w := p.waiter
	if !p.service || w.Patience <= 0 {
		return w.Until(ctx, server, passing, open)
	}
	d := &door{}
	defer d.close()
	w.Tell = func(text string) {
		p.waiter.Tell(text)
		if err := d.say(ctx, p, text); err != nil {
			p.Log.Warn("cannot answer probes while waiting", "error", err.Error())
		}
	}
	return w.Until(ctx, server, passing, open)
}

// door answers in place of a function that is not ready to: 200 to /healthz, 503 with the reason to all else.
type door struct {
	mu     sync.Mutex
	text   string
	http   *http.Server
	ended  sync.WaitGroup
	closed bool
}

// say sets the reason, and opens the door when it is first called.
func (d *door) say(ctx context.Context, p *Process, text string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.text = text
	if d.http != nil || d.closed {
		return nil
	}
	c, err := p.serverConfig(ctx)
	if err != nil {
		return err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))))
	if err != nil {
		return err
	}
	d.http = &http.Server{Handler: p.Front.guard(l, d), ReadHeaderTimeout: 10 * time.Second}
	d.ended.Go(func() { _ = p.Front.serve(d.http, l) }) // ends by close
	return nil
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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

func (d *door) close() {
	d.mu.Lock()
	d.closed = true
	server := d.http
	d.mu.Unlock()
	if server != nil {
		_ = server.Close() // its port is free then, which the function needs
		d.ended.Wait()
	}
}
