package vault_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/almanac-data/almanac/functions/internal/secret/vault"
	"github.com/almanac-data/almanac/functions/internal/secret/vaulttest"
)

// away is an address at which nobody listens.
func away(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	return "http://" + l.Addr().String()
}

func answering(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	return s.URL
}

// TestAnyServerOfTheStoreIsEnough puts servers that cannot answer before, and behind, the one that does.
func TestAnyServerOfTheStoreIsEnough(t *testing.T) {
	fake := vaulttest.NewFake(t)
	fake.Put("almanac/store/kafka", map[string]string{"password": "word"})
	sealed := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"errors":["Vault is sealed"]}`))
	})
	standby := answering(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, fake.URL+r.URL.Path, http.StatusTemporaryRedirect)
	})
	for name, tt := range map[string]struct {
		servers []string
		says    string
	}{
		"the first is away":                   {[]string{away(t), fake.URL}, ""},
		"the first is sealed":                 {[]string{sealed, fake.URL}, ""},
		"the last is away":                    {[]string{fake.URL, away(t)}, ""},
		"one is away, one sealed":             {[]string{away(t), " " + sealed, " " + fake.URL}, ""},
		"a standby says where the leader is":  {[]string{standby, fake.URL}, ""},
		"the leader is the first, as it says": {[]string{fake.URL, standby}, ""},
		"all are sealed":                      {[]string{sealed, sealed}, "is sealed"},
		"all are away":                        {[]string{away(t), away(t)}, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := fake.Config(t)
			cfg.Server, cfg.Timeout = strings.Join(tt.servers, ","), 5*time.Second
			if err := cfg.Check(); err != nil {
				t.Fatal(err)
			}
			c, err := vault.Open(t.Context(), cfg, "store", slog.New(slog.DiscardHandler))
			if tt.says != "" {
				if err == nil || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("Open = %v, want it to say %q", err, tt.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for range 2 {
				if got, err := c.Secret(t.Context(), "kv", "almanac/store/kafka"); err != nil || got["password"] != "word" {
					t.Errorf("Secret = %v, %v, want word", got, err)
				}
			}
		})
	}
}
