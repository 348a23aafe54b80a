package proxy

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// serve listens, and lets each connection be handled and then closed.
func serve(t *testing.T, handle func(net.Conn)) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { handle(c); _ = c.Close() }()
		}
	}()
	return l
}

// echo is where a server listens that sends back what it gets.
func echo(t *testing.T) string {
	t.Helper()
	return serve(t, func(c net.Conn) { _, _ = io.Copy(c, c) }).Addr().String()
}

func open(t *testing.T) (*Proxy, *net.TCPConn) {
	t.Helper()
	p, err := Listen("127.0.0.1:0", echo(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p, dial(t, p)
}

func dial(t *testing.T, p *Proxy) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.(*net.TCPConn)
}

// say sends a line and reads it back.
func say(c net.Conn, text string) (string, error) {
	if _, err := io.WriteString(c, text+"\n"); err != nil {
		return "", err
	}
	return bufio.NewReader(c).ReadString('\n')
}

func TestPassesOnToTheEnd(t *testing.T) {
	_, c := open(t)
	if got, err := say(c, "a"); got != "a\n" || err != nil {
		t.Fatalf("got %q, %v", got, err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(c); len(rest) != 0 || err != nil {
		t.Errorf("after the end of ours the other side's is %q, %v", rest, err)
	}
}

func TestACutIsAnErrorAndANewConnectionWorks(t *testing.T) {
	p, c := open(t)
	if _, err := say(c, "a"); err != nil {
		t.Fatal(err)
	}
	if n := p.Cut(); n != 1 || p.Cuts() != 1 {
		t.Errorf("Cut = %d, Cuts = %d, want 1", n, p.Cuts())
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a cut connection reads %v, want ECONNRESET", err)
	}
	if got, err := say(dial(t, p), "b"); got != "b\n" || err != nil {
		t.Errorf("a new connection: %q, %v", got, err)
	}
}

func TestSilenceHoldsWhatWasSaid(t *testing.T) {
	p, c := open(t)
	speak := p.Silence()
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if got, err := say(c, "a"); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("in silence: %q, %v", got, err)
	}
	speak()
	if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if got, err := bufio.NewReader(c).ReadString('\n'); got != "a\n" || err != nil {
		t.Errorf("after it: %q, %v", got, err)
	}
}

func TestAServerThatIsDownIsAReset(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	p, err := Listen("127.0.0.1:0", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c, err := net.Dial("tcp", p.Addr())
	if err == nil {
		defer c.Close()
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("it says %v, want ECONNRESET", err)
	}
}

func TestServersInTurnButThoseThatAreDown(t *testing.T) {
	named := func(name string) net.Listener {
		return serve(t, func(c net.Conn) { _, _ = io.WriteString(c, name) })
	}
	a, b := named("a"), named("b")
	p, err := Listen("127.0.0.1:0", a.Addr().String(), b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	read := func(n int) (all string) {
		for range n {
			text, err := io.ReadAll(dial(t, p))
			if err != nil {
				t.Fatal(err)
			}
			all += string(text)
		}
		return all
	}
	if got := read(4); got != "abab" {
		t.Errorf("four connections reach %s, want abab", got)
	}
	_ = b.Close()
	if got := read(4); got != "aaaa" {
		t.Errorf("once b is down four connections reach %s, want aaaa", got)
	}
}
