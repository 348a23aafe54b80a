// Package oidctest is an OpenID provider in a test: it publishes keys and signs whatever it is told to.
package oidctest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Audience is what tokens are for if they say nothing else.
const Audience = "almanac"

// Issuer is a provider. Its URL is that of a server on loopback.
type Issuer struct {
	URL string

	tb testing.TB

	mu      sync.Mutex
	key     jose.JSONWebKey
	keys    []jose.JSONWebKey // that are published
	fetches int
	answer  http.HandlerFunc // in place of the keys; nil for the keys
}

// New starts one with one key of ECDSA.
func New(tb testing.TB) *Issuer {
	tb.Helper()
	i := &Issuer{tb: tb}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": i.URL, "jwks_uri": i.URL + "/keys"})
	})
	mux.HandleFunc("GET /keys", i.serve)
	server := httptest.NewServer(mux)
	tb.Cleanup(server.Close)
	i.URL = server.URL
	i.Rotate()
	return i
}

func (i *Issuer) serve(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	i.fetches++
	answer, set := i.answer, jose.JSONWebKeySet{Keys: i.keys}
	i.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	text, err := json.Marshal(set)
	if err != nil {
		i.tb.Error(err)
	}
	_, _ = w.Write(text)
}

// Rotate makes a new key, signs by it from now on, and publishes it in place of those before.
func (i *Issuer) Rotate() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		i.tb.Fatal(err)
	}
	i.Sign(key, key.Public())
}

// Sign signs by a key from now on, and publishes its public half in place of those before.
func (i *Issuer) Sign(key any, public crypto.PublicKey) {
	i.mu.Lock()
	defer i.mu.Unlock()
	id := "key-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	i.key = jose.JSONWebKey{Key: key, KeyID: id}
	i.keys = []jose.JSONWebKey{{Key: public, KeyID: id, Use: "sig"}}
}

// Publish makes what is published the given keys.
func (i *Issuer) Publish(keys ...jose.JSONWebKey) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = keys
}

// Published are the keys that are published.
func (i *Issuer) Published() []jose.JSONWebKey {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.keys
}

// Answer makes the issuer answer otherwise to those who fetch its keys; nil undoes it.
func (i *Issuer) Answer(h http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer = h
}

// Away makes the issuer fail.
func (i *Issuer) Away(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusBadGateway)
}

// Fetches is how often keys were fetched.
func (i *Issuer) Fetches() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

// Token signs a token of a subject that is valid for an hour. Claims are added; those that are nil are left out.
func (i *Issuer) Token(subject string, claims map[string]any) string {
	i.mu.Lock()
	key := i.key
	i.mu.Unlock()
	algorithm := jose.ES256
	if _, ok := key.Key.(*ecdsa.PrivateKey); !ok {
		algorithm = jose.RS256
	}
	return i.Signed(jose.SigningKey{Algorithm: algorithm, Key: key}, nil, subject, claims)
}

// Signed is Token with a key and an algorithm of its own, and with options for the header.
func (i *Issuer) Signed(key jose.SigningKey, options *jose.SignerOptions, subject string, claims map[string]any) string {
	signer, err := jose.NewSigner(key, options)
	if err != nil {
		i.tb.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(i.Claims(subject, claims)).Serialize()
	if err != nil {
		i.tb.Fatal(err)
	}
	return token
}

// Claims are those of Token.
func (i *Issuer) Claims(subject string, more map[string]any) map[string]any {
	now := time.Now()
	claims := map[string]any{
		"iss": i.URL, "sub": subject, "aud": Audience, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	maps.Copy(claims, more)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return claims
}
