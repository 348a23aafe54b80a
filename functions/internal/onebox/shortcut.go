package onebox

import (
	"context"
	"fmt"
	"net"
	"sync"

	"google.golang.org/grpc/test/bufconn"
)

// shortcutBuffer is how many bytes wait in each direction of a connection within the process.
const shortcutBuffer = 256 << 10

// Shortcut is a listener that is also reached from within its process, by connections that need no system calls.
type Shortcut struct {
	net.Listener

	inner    *bufconn.Listener
	accepted chan accepted
	closing  chan struct{}
	close    sync.Once
	wg       sync.WaitGroup
}

type accepted struct {
	conn net.Conn
	err  error
}

// NewShortcut listens where the listener does, and for Dial. Close closes both.
func NewShortcut(l net.Listener) *Shortcut {
	s := &Shortcut{Listener: l, inner: bufconn.Listen(shortcutBuffer), accepted: make(chan accepted), closing: make(chan struct{})}
	s.wg.Go(func() { s.pass(l) })
	s.wg.Go(func() { s.pass(s.inner) })
	return s
}

// pass hands on what a listener accepts until it is closed.
func (s *Shortcut) pass(l net.Listener) {
	for {
		conn, err := l.Accept()
		select {
		case s.accepted <- accepted{conn, err}:
		case <-s.closing:
			if err == nil {
				_ = conn.Close() // nobody knows of it yet
			}
			return
		}
	}
}

// Accept waits for the next connection of either kind.
func (s *Shortcut) Accept() (net.Conn, error) {
	select {
	case a := <-s.accepted:
		return a.conn, a.err
	case <-s.closing:
		return nil, net.ErrClosed
	}
}

// Dial connects within the process, whatever the address.
func (s *Shortcut) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	conn, err := s.inner.DialContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect within the process: %w", err)
	}
	return conn, nil
}

// Close ends listening; connections stay. Closing twice does nothing.
func (s *Shortcut) Close() error {
	var err error
	s.close.Do(func() {
		close(s.closing)
		_ = s.inner.Close() // it has no error
		err = s.Listener.Close()
		s.wg.Wait()
	})
	return err
}
