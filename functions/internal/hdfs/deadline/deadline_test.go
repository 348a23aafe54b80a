package deadline_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/almanac-data/almanac/functions/internal/hdfs/deadline"
)

func listen(tb testing.TB) net.Listener {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = l.Close() })
	return l
}

func dial(tb testing.TB, d *deadline.Dialer, l net.Listener) (ours, theirs net.Conn) {
	tb.Helper()
	ours, err := d.Dial(tb.Context(), "tcp", l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	if theirs, err = l.Accept(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = theirs.Close() })
	return ours, theirs
}

func TestSilenceClosesTheConnection(t *testing.T) {
	d := &deadline.Dialer{Timeout: 50 * time.Millisecond}
	ours, theirs := dial(t, d, listen(t))
	if err := ours.SetDeadline(time.Now().Add(time.Hour)); err != nil { // a library lifts the limit
		t.Error(err)
	}
	if _, err := ours.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read = %v, want a time-out", err)
	}
	if _, err := ours.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write after that = %v, want net.ErrClosed", err)
	}
	if _, err := theirs.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the other side reads %v, want EOF", err)
	}
}

func TestWritesKeepARead(t *testing.T) {
	d := &deadline.Dialer{Timeout: 200 * time.Millisecond}
	ours, theirs := dial(t, d, listen(t))
	done := make(chan error)
	go func() {
		_, err := ours.Read(make([]byte, 1))
		done <- err
	}()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range 8 { // for longer than the time-out
		<-tick.C
		if _, err := ours.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := theirs.Write([]byte("y")); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("Read = %v", err)
	}
}

func TestCloseEndsWhatWaits(t *testing.T) {
	d := &deadline.Dialer{Timeout: time.Minute}
	ours, _ := dial(t, d, listen(t))
	done := make(chan error)
	go func() {
		_, err := ours.Read(make([]byte, 1))
		done <- err
	}()
	d.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read = %v, want net.ErrClosed", err)
	}
	if _, err := d.Dial(context.Background(), "tcp", listen(t).Addr().String()); err == nil {
		t.Error("Dial after Close gave no error")
	}
}
