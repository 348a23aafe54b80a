package oidc_test

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/sethvargo/go-envconfig"

	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/identity"
	"github.com/almanac-data/almanac/functions/internal/oidc"
	"github.com/almanac-data/almanac/functions/internal/oidc/oidctest"
)

// clock is moved by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// endless is a claim that outlasts what the tests let pass.
var endless = map[string]any{"exp": time.Now().Add(1000 * time.Hour).Unix()}

func TestRotation(t *testing.T) {
	issuer := oidctest.New(t)
	at := &clock{now: time.Now()}
	v := open(t, config(issuer), at.Now)
	old := issuer.Token("a", endless)
	issuer.Rotate()
	next := issuer.Token("a", endless)
	if _, err := v.Verify(t.Context(), next); err == nil || !strings.Contains(err.Error(), "try again") {
		t.Errorf("a new key at once after a fetch: %v, want a refusal that says to try again", err)
	}
	at.pass(11 * time.Second)
	if _, err := v.Verify(t.Context(), next); err != nil {
		t.Errorf("a new key: %v", err)
	}
	at.pass(11 * time.Second)
	if _, err := v.Verify(t.Context(), old); err == nil {
		t.Error("a key that was withdrawn is still taken")
	}
}

func TestTokensOfUnknownKeysFetchSeldom(t *testing.T) {
	issuer := oidctest.New(t)
	at := &clock{now: time.Now()}
	v := open(t, config(issuer), at.Now)
	before := issuer.Fetches()
	stranger := oidctest.New(t)
	token := stranger.Token("a", map[string]any{"iss": issuer.URL})
	at.pass(11 * time.Second)
	var asking sync.WaitGroup
	for range 50 {
		asking.Go(func() {
			if _, err := v.Verify(t.Context(), token); err == nil {
				t.Error("a stranger's token is taken")
			}
		})
	}
	asking.Wait()
	if got := issuer.Fetches() - before; got != 1 {
		t.Errorf("50 tokens of an unknown key made %d fetches, want 1", got)
	}
}

func TestAWithdrawnKeyIsNotTakenForLong(t *testing.T) {
	issuer := oidctest.New(t)
	at := &clock{now: time.Now()}
	v := open(t, config(issuer), at.Now)
	old := issuer.Token("a", endless)
	issuer.Rotate()
	at.pass(6 * time.Minute)
	if _, err := v.Verify(t.Context(), old); err != nil {
		t.Errorf("the request that begins the fetch: %v", err)
	}
	v.Close() // waits for the fetch
	if _, err := v.Verify(t.Context(), old); err == nil {
		t.Error("a key that was withdrawn is still taken")
	}
}

func TestKeysGoOnWhileTheIssuerIsAway(t *testing.T) {
	issuer := oidctest.New(t)
	at := &clock{now: time.Now()}
	v := open(t, config(issuer), at.Now)
	token := issuer.Token("a", endless)
	issuer.Answer(issuer.Away)
	for _, d := range []time.Duration{time.Minute, time.Hour, 22 * time.Hour} {
		at.pass(d)
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Errorf("after %s more: %v", d, err)
		}
		v.Close()
	}
	_, err := v.Verify(t.Context(), oidctest.New(t).Token("a", endless))
	if _, ok := errors.AsType[*identity.RefusalError](err); !ok {
		t.Errorf("a token of an unknown key: %v, want a refusal", err)
	}
	at.pass(2 * time.Hour)
	if _, err := v.Verify(t.Context(), token); !errors.Is(err, identity.ErrAway) {
		t.Errorf("after a day: %v, want ErrAway", err)
	}
	if err := v.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "502") {
		t.Errorf("Ready = %v, want the reason", err)
	}
	issuer.Answer(nil)
	at.pass(11 * time.Second)
	if err := v.Ready(t.Context()); err != nil {
		t.Errorf("Ready once the issuer is back = %v", err)
	}
	if _, err := v.Verify(t.Context(), token); err != nil {
		t.Errorf("once the issuer is back: %v", err)
	}
}

func TestWhereKeysAre(t *testing.T) {
	issuer := oidctest.New(t)
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: issuer.Published()})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, keys := range map[string]string{"where the issuer says": "", "a URL": issuer.URL + "/keys", "a file": file} {
		c := config(issuer)
		c.Keys = keys
		if _, err := open(t, c, time.Now).Verify(t.Context(), issuer.Token("a", nil)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestIssuersThatCannotBeUsed(t *testing.T) {
	weak := rsaKey(t, 1024)
	oct := jose.JSONWebKey{Key: []byte("secret that all who check must know"), KeyID: "s"}
	answer := func(text string) func(*oidctest.Issuer, *oidc.Config) {
		return func(i *oidctest.Issuer, _ *oidc.Config) {
			i.Answer(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
		}
	}
	other := oidctest.New(t)
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	defer untrusted.Close()
	untrusted.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	for name, c := range map[string]struct {
		make    func(i *oidctest.Issuer, c *oidc.Config)
		says    string
		passing bool
	}{
		"one that is away":            {func(i *oidctest.Issuer, _ *oidc.Config) { i.Answer(i.Away) }, "502", true},
		"one that nobody listens for": {func(_ *oidctest.Issuer, c *oidc.Config) { c.Issuer = "http://127.0.0.1:1" }, "refused", true},
		"one that says another name":  {func(_ *oidctest.Issuer, c *oidc.Config) { c.Issuer += "/" }, "ALMANAC_SERVE_OIDC_ISSUER", false},
		"no discovery document":       {func(i *oidctest.Issuer, c *oidc.Config) { c.Issuer = i.URL + "/keys" }, "404", false},
		"keys that redirect to good ones": {func(i *oidctest.Issuer, _ *oidc.Config) {
			i.Answer(http.RedirectHandler(other.URL+"/keys", http.StatusFound).ServeHTTP)
		}, "redirects are not followed", false},
		"keys without end":                  {answer(strings.Repeat(" ", 2<<20)), "larger than", false},
		"keys that are none":                {answer("<html>"), "no JSON Web Key Set", false},
		"no keys":                           {answer("{}"), "no key that", false},
		"a secret among the keys":           {func(i *oidctest.Issuer, _ *oidc.Config) { i.Publish(oct) }, "no key that", false},
		"a weak key":                        {func(i *oidctest.Issuer, _ *oidc.Config) { i.Publish(jose.JSONWebKey{Key: weak.Public(), KeyID: "w"}) }, "2048", false},
		"a key for encryption":              {func(i *oidctest.Issuer, _ *oidc.Config) { k := i.Published()[0]; k.Use = "enc"; i.Publish(k) }, "no key that", false},
		"a file that is not there":          {func(_ *oidctest.Issuer, c *oidc.Config) { c.Keys = "/nowhere/keys.json" }, "ALMANAC_SERVE_OIDC_KEYS", false},
		"an authority that is not trusted":  {func(_ *oidctest.Issuer, c *oidc.Config) { c.Keys = untrusted.URL }, "ALMANAC_SERVE_OIDC_CA", false},
		"an authority's file that is empty": {func(_ *oidctest.Issuer, c *oidc.Config) { c.CA = os.DevNull }, "ALMANAC_SERVE_OIDC_CA", false},
	} {
		t.Run(name, func(t *testing.T) {
			issuer := oidctest.New(t)
			conf := config(issuer)
			c.make(issuer, &conf)
			v, err := oidc.Open(t.Context(), conf, time.Now, slog.New(slog.DiscardHandler))
			if v != nil || err == nil || !strings.Contains(err.Error(), c.says) || oidc.Passing(err) != c.passing {
				t.Errorf("Open = %v, passing %v, want %q, passing %v", err, oidc.Passing(err), c.says, c.passing)
			}
		})
	}
}

func TestUnknownKindsOfKeysAreLeftOut(t *testing.T) {
	issuer := oidctest.New(t)
	known, err := json.Marshal(issuer.Published()[0])
	if err != nil {
		t.Fatal(err)
	}
	issuer.Answer(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"keys":[{"kty":"AKP","alg":"ML-DSA-44","kid":"new"},`+string(known)+`]}`)
	})
	if _, err := open(t, config(issuer), time.Now).Verify(t.Context(), issuer.Token("a", nil)); err != nil {
		t.Error(err)
	}
}

func TestEveryMistakeIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		env  map[string]string
		says string
	}{
		"no issuer":            {map[string]string{"ALMANAC_SERVE_OIDC_AUDIENCE": "a"}, "need ALMANAC_SERVE_OIDC_ISSUER"},
		"no audience":          {map[string]string{"ALMANAC_SERVE_OIDC_ISSUER": "https://i.example"}, "needs ALMANAC_SERVE_OIDC_AUDIENCE"},
		"an issuer in clear":   {map[string]string{"ALMANAC_SERVE_OIDC_ISSUER": "http://i.example", "ALMANAC_SERVE_OIDC_AUDIENCE": "a"}, "https"},
		"a name for loopback":  {map[string]string{"ALMANAC_SERVE_OIDC_ISSUER": "http://localhost.i.example", "ALMANAC_SERVE_OIDC_AUDIENCE": "a"}, "https"},
		"a password in a URL":  {map[string]string{"ALMANAC_SERVE_OIDC_ISSUER": "https://u:p@i.example", "ALMANAC_SERVE_OIDC_AUDIENCE": "a"}, "https"},
		"keys in clear":        {map[string]string{"ALMANAC_SERVE_OIDC_ISSUER": "https://i", "ALMANAC_SERVE_OIDC_AUDIENCE": "a", "ALMANAC_SERVE_OIDC_KEYS": "http://i/k"}, "ALMANAC_SERVE_OIDC_KEYS"},
		"an issuer by a query": {map[string]string{"ALMANAC_SERVE_OIDC_ISSUER": "https://i?x=1", "ALMANAC_SERVE_OIDC_AUDIENCE": "a"}, "without user and query"},
	} {
		var conf oidc.Config
		if err := fn.Load(t.Context(), envconfig.MapLookuper(c.env), &conf); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: Load = %v, want %q", name, err, c.says)
		}
	}
	var none oidc.Config
	if err := fn.Load(t.Context(), envconfig.MapLookuper(nil), &none); err != nil || none.Groups != "groups" {
		t.Errorf("Load of nothing = %+v, %v", none, err)
	}
}
