package oidc

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/almanac-data/almanac/functions/internal/certs"
)

const (
	fetchTimeout = 5 * time.Second // of discovery and keys together
	maxDocument  = 1 << 20
	minRSA       = 2048 // bits, RFC 7518 section 3.3
)

// awayError marks errors that may pass by themselves.
type awayError struct{ error }

func (a awayError) Unwrap() error { return a.error }

// Passing says whether the same may succeed a little later, by itself: the issuer does not answer, or says that it cannot.
func Passing(err error) bool {
	_, ok := errors.AsType[awayError](err)
	return ok
}

// fetch reads the keys from where they are published.
func (v *Verifier) fetch(ctx context.Context) ([]jose.JSONWebKey, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	from := v.config.Keys
	if from != "" && !remote(from) {
		text, err := readFile(from)
		if err != nil {
			return nil, fmt.Errorf("read ALMANAC_SERVE_OIDC_KEYS: %w", err)
		}
		return parseKeys(from, text)
	}
	client, err := v.client()
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	if from == "" {
		if from, err = v.discover(ctx, client); err != nil {
			return nil, err
		}
	}
	text, err := get(ctx, client, from)
	if err != nil {
		return nil, err
	}
	return parseKeys(from, text)
}

// discover asks the issuer where its keys are (OpenID Connect Discovery 1.0, section 4).
func (v *Verifier) discover(ctx context.Context, client *http.Client) (string, error) {
	from := strings.TrimSuffix(v.config.Issuer, "/") + "/.well-known/openid-configuration"
	text, err := get(ctx, client, from)
	if err != nil {
		return "", err
	}
	var doc struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return "", fmt.Errorf("%s is no discovery document: %w", from, err)
	}
	if doc.Issuer != v.config.Issuer {
		return "", fmt.Errorf("%s is of issuer %q: set ALMANAC_SERVE_OIDC_ISSUER to that, exactly, if it is the one that you mean, not %q", from, doc.Issuer, v.config.Issuer)
	}
	if u, err := url.Parse(doc.Keys); err != nil || !safe(u) {
		return "", fmt.Errorf("%s names keys at %q, which is no https URL: name a file or URL of the keys by ALMANAC_SERVE_OIDC_KEYS", from, doc.Keys)
	}
	return doc.Keys, nil
}

func (v *Verifier) client() (*http.Client, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if v.config.CA != "" {
		pool, err := (&certs.Authorities{File: v.config.CA}).Pool()
		if err != nil {
			return nil, fmt.Errorf("read ALMANAC_SERVE_OIDC_CA: %w", err)
		}
		conf.RootCAs = pool
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig, transport.MaxResponseHeaderBytes = conf, 64<<10
	return &http.Client{
		Transport: transport,
		// An answer of another address than the one that was checked could have been made by anybody.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

func get(ctx context.Context, client *http.Client, from string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	resp, err := client.Do(r)
	if err != nil {
		if _, untrusted := errors.AsType[*tls.CertificateVerificationError](err); untrusted {
			return nil, fmt.Errorf("%w: put the authority of the issuer's certificate into the file that ALMANAC_SERVE_OIDC_CA names", err)
		}
		return nil, awayError{err}
	}
	defer func() { _ = resp.Body.Close() }()
	switch {
	case resp.StatusCode >= http.StatusInternalServerError || resp.StatusCode == http.StatusTooManyRequests:
		return nil, awayError{fmt.Errorf("get %s: %s", from, resp.Status)}
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("get %s: %s, and redirects are not followed: see that ALMANAC_SERVE_OIDC_ISSUER or _KEYS is right", from, resp.Status)
	}
	text, err := bounded(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", from, err)
	}
	return text, nil
}

var errLarge = fmt.Errorf("it is larger than %d bytes", maxDocument)

func bounded(from io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(from, maxDocument+1))
	switch {
	case err != nil:
		return nil, awayError{err}
	case len(text) > maxDocument:
		return nil, errLarge
	}
	return text, nil
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return bounded(f)
}

// parseKeys reads a JSON Web Key Set (RFC 7517). Keys that are not for signatures, or not strong enough, are left out; so are those of kinds
// that it does not know.
func parseKeys(from string, text []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("%s holds no JSON Web Key Set: %w", from, err)
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if err := key.UnmarshalJSON(raw); err == nil && signs(key) {
			keys = append(keys, key.Public())
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s holds no key that tokens can be checked by: public ones of RSA (%d bits or more), EC or Ed25519 are taken", from, minRSA)
	}
	return keys, nil
}

func signs(key jose.JSONWebKey) bool {
	if key.Use != "" && key.Use != "sig" || !key.IsPublic() {
		return false
	}
	public, ok := key.Key.(*rsa.PublicKey)
	return !ok || public.N.BitLen() >= minRSA
}
