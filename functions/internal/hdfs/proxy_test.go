package hdfs_test

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy passes bytes on, and loses some answers: the server has done what it was asked, and the connection is cut instead of saying so.
type proxy struct {
	to    string
	odds  int // that one of so many answers is lost
	rand  *rand.Rand
	mu    sync.Mutex
	lost  atomic.Int64
	conns sync.WaitGroup
}

// newProxy starts a proxy and returns its address.
func newProxy(tb testing.TB, to string, odds int, seed uint64) (*proxy, string) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &proxy{to: to, odds: odds, rand: rand.New(rand.NewPCG(seed, 0))}
	p.conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.conns.Go(func() { p.serve(c) })
		}
	})
	tb.Cleanup(func() {
		_ = l.Close()
		p.conns.Wait()
	})
	return p, l.Addr().String()
}

func (p *proxy) serve(c net.Conn) {
	defer c.Close()
	s, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer s.Close()
	p.conns.Go(func() {
		_, _ = io.Copy(s, c)
		_ = s.(*net.TCPConn).CloseWrite()
	})
	buf := make([]byte, 64<<10)
	for {
		n, err := s.Read(buf)
		if n > 0 && p.loses() {
			return
		}
		if _, werr := c.Write(buf[:n]); errors.Join(err, werr) != nil {
			return
		}
	}
}

func (p *proxy) loses() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rand.IntN(p.odds) > 0 {
		return false
	}
	p.lost.Add(1)
	return true
}

func hostOf(tb testing.TB, web string) string {
	tb.Helper()
	u, err := url.Parse(web)
	if err != nil {
		tb.Fatal(err)
	}
	return u.Host
}
