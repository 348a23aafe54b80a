package session

import (
	"io/fs"
	"slices"
	"sync"
	"time"
)

const (
	// clientAge bounds the life of a client: the library never asks again for the key by which DataNodes encrypt, and that ends.
	clientAge = time.Hour
	// clientIdle is how long a client waits for work. Idle ones ask the NameNode to renew their leases every second.
	clientIdle  = 30 * time.Second
	clientsIdle = 4
)

// pool has the clients that nobody uses right now: one that is handed out is for one worker. It makes as many as are asked for.
type pool struct {
	dial func(failed int) (Transport, error)

	mu     sync.Mutex
	failed int // clients that were broken or could not be made
	idle   []*Client
	used   map[*Client]struct{}
	closed bool
}

// Client is a connection that is lent to one worker.
type Client struct {
	Transport

	born  time.Time
	timer *time.Timer // ends it while it is idle
}

// get hands out a client, the one that was used last if there is one. The caller gives it back by put.
func (p *pool) get() (*Client, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, fs.ErrClosed
	}
	if n := len(p.idle); n > 0 {
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		c.timer.Stop()
		p.use(c)
		p.mu.Unlock()
		return c, nil
	}
	failed := p.failed
	p.mu.Unlock()
	t, err := p.dial(failed)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.failed++
		return nil, err
	}
	c := &Client{Transport: t, born: time.Now()}
	if p.closed {
		t.Close()
		return nil, fs.ErrClosed
	}
	p.use(c)
	return c, nil
}

func (p *pool) use(c *Client) {
	if p.used == nil {
		p.used = map[*Client]struct{}{}
	}
	p.used[c] = struct{}{}
}

// put takes a client back, and closes it if it is broken or old.
func (p *pool) put(c *Client, broken bool) {
	p.mu.Lock()
	delete(p.used, c)
	if broken {
		p.failed++
	}
	keep := !broken && !p.closed && len(p.idle) < clientsIdle && time.Since(c.born) < clientAge
	if keep {
		c.timer = time.AfterFunc(clientIdle, func() { p.drop(c) })
		p.idle = append(p.idle, c)
	}
	p.mu.Unlock()
	if !keep {
		c.Close()
	}
}

// drop closes a client that is still idle.
func (p *pool) drop(c *Client) {
	p.mu.Lock()
	at := slices.Index(p.idle, c)
	if at >= 0 {
		p.idle = slices.Delete(p.idle, at, at+1)
	}
	p.mu.Unlock()
	if at >= 0 {
		c.Close()
	}
}

// close closes every client, also those in use.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	all := p.idle
	for c := range p.used {
		all = append(all, c)
	}
	p.idle = nil
	p.mu.Unlock()
	for _, c := range all {
		c.Close()
	}
}
