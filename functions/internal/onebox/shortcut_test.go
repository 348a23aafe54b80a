package onebox_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/almanac-data/almanac/functions/internal/onebox"
)

func TestShortcutIsReachedBothWays(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := onebox.NewShortcut(l)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.RemoteAddr[:4])
	})}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(s) }()
	url := "http://" + s.Addr().String()
	for want, transport := range map[string]*http.Transport{"127.": {}, "bufc": {DialContext: s.Dial}} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(resp.Body); string(got) != want || err != nil {
			t.Errorf("came from %q, %v, want %q", got, err, want)
		}
		_ = resp.Body.Close()
		transport.CloseIdleConnections()
	}
	if err := server.Shutdown(context.WithoutCancel(t.Context())); err != nil {
		t.Errorf("Shutdown = %v", err)
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("Serve = %v", err)
	}
	if _, err := s.Dial(t.Context(), "", ""); err == nil {
		t.Error("Dial after Close gave no error")
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close again = %v", err)
	}
}
