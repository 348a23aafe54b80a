// Package proxy passes TCP connections on to one or more servers in turn, and breaks them: it is the bad network, and the load balancer, of a test.
package proxy

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Proxy passes on what comes to its address. Close ends it.
type Proxy struct {
	listener net.Listener
	to       []string
	work     sync.WaitGroup

	mu     sync.Mutex
	turn   int
	pairs  map[*pair]struct{}
	silent chan struct{} // closed while bytes pass
	ended  bool
	cuts   int
}

// pair is one connection, and that to the server behind.
type pair struct{ near, far *net.TCPConn }

// Listen passes connections to addr on to the addresses in turn; one where nobody listens is passed over. With port 0 it takes a free one.
func Listen(addr string, to ...string) (*Proxy, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: l, to: to, pairs: map[*pair]struct{}{}, silent: make(chan struct{})}
	close(p.silent)
	p.work.Go(p.accept)
	return p, nil
}

// Addr is where the proxy listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

func (p *Proxy) accept() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.work.Go(func() { p.serve(near.(*net.TCPConn)) }) //nolint:forcetypeassert // a TCP listener gives nothing else
	}
}

func (p *Proxy) serve(near *net.TCPConn) {
	far := p.dial()
	if far == nil {
		reset(near) // as a server that is down
		return
	}
	c := &pair{near, far}
	p.mu.Lock()
	if p.ended {
		p.mu.Unlock()
		c.reset()
		return
	}
	p.pairs[c] = struct{}{}
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.pass(c.far, c.near) })
	both.Go(func() { p.pass(c.near, c.far) })
	both.Wait()
	_, _ = c.near.Close(), c.far.Close()
	p.mu.Lock()
	delete(p.pairs, c)
	p.mu.Unlock()
}

// dial reaches the server whose turn it is, or the next one that is there; nil if none is.
func (p *Proxy) dial() *net.TCPConn {
	p.mu.Lock()
	first := p.turn
	p.turn++
	p.mu.Unlock()
	for i := range p.to {
		conn, err := (&net.Dialer{Timeout: 10 * time.Second}).Dial("tcp", p.to[(first+i)%len(p.to)])
		if err == nil {
			return conn.(*net.TCPConn) //nolint:forcetypeassert // dialled so
		}
	}
	return nil
}

// pass copies one direction until its end. What ends badly ends the other direction too.
func (p *Proxy) pass(to, from *net.TCPConn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		gate := p.silent
		p.mu.Unlock()
		<-gate
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				_ = from.Close()
				return
			}
		}
		if err == io.EOF { //nolint:errorlint // as Read gives it
			_ = to.CloseWrite()
			return
		}
		if err != nil {
			reset(to)
			return
		}
	}
}

// Cut resets every connection that is open, and tells how many. New ones are passed on.
func (p *Proxy) Cut() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.pairs {
		c.reset()
	}
	p.cuts += len(p.pairs)
	return len(p.pairs)
}

// Cuts is how many connections were reset in all.
func (p *Proxy) Cuts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts
}

// Silence passes nothing on, and closes nothing, until the returned function is called.
func (p *Proxy) Silence() (speak func()) {
	gate := make(chan struct{})
	p.mu.Lock()
	p.silent = gate
	p.mu.Unlock()
	return sync.OnceFunc(func() { close(gate) })
}

// Close ends the proxy and its connections, and waits until nothing of it works any more. Who silenced it must let it speak first.
func (p *Proxy) Close() error {
	err := p.listener.Close()
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.Cut()
	p.work.Wait()
	if err != nil {
		return fmt.Errorf("proxy to %v: %w", p.to, err)
	}
	return nil
}

func (c *pair) reset() {
	reset(c.near)
	reset(c.far)
}

// reset closes so that the other side sees an error, not an end.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}
