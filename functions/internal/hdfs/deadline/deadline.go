// Package deadline makes connections on which nothing waits for ever.
package deadline

import (
	"bufio"
	"context"
	"errors"
	"maps"
	"net"
	"sync"
	"time"
)

// Dialer makes the connections of one client. A connection on which nothing moves for the time-out ends the Read or Write that
// waits, closes itself on the first error, and is closed with its Dialer at the latest. The deadlines that a library sets or lifts
// are not heard: colinmarc/hdfs has none for RPCs, and leaves connections to DataNodes open after some errors.
type Dialer struct {
	Timeout time.Duration // also of connecting

	mu      sync.Mutex
	open    map[*conn]struct{}
	dialing map[*context.CancelFunc]struct{}
	closed  bool
}

// Dial connects.
func (d *Dialer) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d.mu.Lock()
	if d.dialing == nil {
		d.dialing, d.open = map[*context.CancelFunc]struct{}{}, map[*conn]struct{}{}
	}
	d.dialing[&cancel] = struct{}{}
	if d.closed {
		cancel()
	}
	d.mu.Unlock()
	c, err := (&net.Dialer{Timeout: d.Timeout}).DialContext(ctx, network, addr)
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.dialing, &cancel)
	if err != nil {
		return nil, err
	}
	if d.closed {
		return nil, errors.Join(net.ErrClosed, c.Close())
	}
	limited := &conn{Conn: c, dialer: d}
	d.open[limited] = struct{}{}
	return limited, nil
}

// bufferBytes is how much a buffered connection reads ahead.
const bufferBytes = 128 << 10

// DialBuffered is Dial for those who read in small pieces.
func (d *Dialer) DialBuffered(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := d.Dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &buffered{c, bufio.NewReaderSize(c, bufferBytes)}, nil
}

type buffered struct {
	net.Conn

	ahead *bufio.Reader
}

// Read reads what is there.
func (b *buffered) Read(p []byte) (int, error) { return b.ahead.Read(p) }

// Close closes every connection, also under a call that waits on one, and makes no more.
func (d *Dialer) Close() {
	d.mu.Lock()
	d.closed = true
	open := maps.Clone(d.open)
	for cancel := range d.dialing {
		(*cancel)()
	}
	d.mu.Unlock()
	for c := range open {
		_ = c.Conn.Close()
	}
}

type conn struct {
	net.Conn

	dialer *Dialer
}

// Read reads what is there.
func (c *conn) Read(p []byte) (int, error) { return c.step(c.Conn.Read, p) }

// Write writes all of p.
func (c *conn) Write(p []byte) (int, error) { return c.step(c.Conn.Write, p) }

// step sets the deadline of both directions: an upload keeps the wait for its answer alive, acknowledgements the upload.
func (c *conn) step(do func([]byte) (int, error), p []byte) (int, error) {
	n, err := 0, c.Conn.SetDeadline(time.Now().Add(c.dialer.Timeout))
	if err == nil {
		n, err = do(p)
	}
	if err != nil {
		_ = c.Close()
	}
	return n, err
}

// Close closes the connection.
func (c *conn) Close() error {
	c.dialer.mu.Lock()
	delete(c.dialer.open, c)
	c.dialer.mu.Unlock()
	return c.Conn.Close()
}

// SetDeadline does nothing, nor do its siblings.
func (*conn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (*conn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (*conn) SetWriteDeadline(time.Time) error { return nil }
