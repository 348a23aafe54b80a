package oidc_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/almanac-data/almanac/functions/internal/identity"
	"github.com/almanac-data/almanac/functions/internal/oidc"
	"github.com/almanac-data/almanac/functions/internal/oidc/oidctest"
)

func config(i *oidctest.Issuer) oidc.Config {
	return oidc.Config{Issuer: i.URL, Audience: oidctest.Audience, Groups: "groups"}
}

func open(t testing.TB, c oidc.Config, now func() time.Time) *oidc.Verifier {
	t.Helper()
	v, err := oidc.Open(t.Context(), c, now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

func rsaKey(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	if bits < 1024 {
		t.Setenv("GODEBUG", "rsa1024min=0")
	}
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestWhoHoldsAToken(t *testing.T) {
	issuer := oidctest.New(t)
	v := open(t, config(issuer), time.Now)
	for name, c := range map[string]struct {
		claims map[string]any
		groups []string
	}{
		"nothing but a subject":      {nil, nil},
		"groups in a list":           {map[string]any{"groups": []string{"a", "my team"}}, []string{"a", "my team"}},
		"groups in a text":           {map[string]any{"groups": "a b"}, []string{"a", "b"}},
		"groups of another form":     {map[string]any{"groups": map[string]any{"a": true}}, nil},
		"groups some of which are":   {map[string]any{"groups": []any{"a", 7}}, []string{"a"}},
		"one audience of several":    {map[string]any{"aud": []string{"other", "almanac"}}, nil},
		"expired within the leeway":  {map[string]any{"exp": time.Now().Add(-10 * time.Second).Unix()}, nil},
		"too early, but not by much": {map[string]any{"nbf": time.Now().Add(10 * time.Second).Unix()}, nil},
	} {
		got, err := v.Verify(t.Context(), issuer.Token("mlapp", c.claims))
		if diff := cmp.Diff(identity.Identity{Issuer: issuer.URL, Subject: "mlapp", Groups: c.groups}, got); err != nil || diff != "" {
			t.Errorf("%s: Verify = %v %s", name, err, diff)
		}
	}
}

func TestKindsOfKeys(t *testing.T) {
	issuer := oidctest.New(t)
	public, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsa2048 := rsaKey(t, 2048)
	issuer.Publish(
		jose.JSONWebKey{Key: public, KeyID: "ed"}, jose.JSONWebKey{Key: p384.Public(), KeyID: "p384"},
		jose.JSONWebKey{Key: rsa2048.Public(), KeyID: "rsa", Algorithm: "PS256"},
	)
	v := open(t, config(issuer), time.Now)
	sign := func(algorithm jose.SignatureAlgorithm, id string, key any) string {
		return issuer.Signed(jose.SigningKey{Algorithm: algorithm, Key: jose.JSONWebKey{Key: key, KeyID: id}}, (&jose.SignerOptions{}).WithType("at+jwt"), "s", nil)
	}
	for name, token := range map[string]string{
		"EdDSA": sign(jose.EdDSA, "ed", ed), "ES384": sign(jose.ES384, "p384", p384), "PS256": sign(jose.PS256, "rsa", rsa2048),
	} {
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Errorf("%s: Verify = %v", name, err)
		}
	}
	if _, err := v.Verify(t.Context(), sign(jose.RS256, "rsa", rsa2048)); err == nil {
		t.Error("a key that is published for PS256 alone takes RS256")
	}
}

func TestRefusedTokens(t *testing.T) {
	issuer := oidctest.New(t)
	own := rsaKey(t, 2048)
	issuer.Sign(own, own.Public())
	v := open(t, config(issuer), time.Now)
	id, now := issuer.Published()[0].KeyID, time.Now()
	good := issuer.Token("mlapp", nil)
	parts := strings.Split(good, ".")
	raw := func(header string, claims map[string]any, signature string) string {
		text, err := json.Marshal(claims)
		if err != nil {
			t.Fatal(err)
		}
		encode := base64.RawURLEncoding.EncodeToString
		return encode([]byte(header)) + "." + encode(text) + "." + signature
	}
	der, err := x509.MarshalPKIXPublicKey(own.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	other := rsaKey(t, 2048)
	signed := func(algorithm jose.SignatureAlgorithm, key any, id string, options *jose.SignerOptions) string {
		return issuer.Signed(jose.SigningKey{Algorithm: algorithm, Key: jose.JSONWebKey{Key: key, KeyID: id}}, options, "mlapp", nil)
	}
	for name, c := range map[string]struct{ token, says string }{
		"nothing":                  {"", "no JSON Web Token"},
		"words":                    {"let me in", "no JSON Web Token"},
		"three parts of nothing":   {"..", "algorithm"},
		"no signature":             {parts[0] + "." + parts[1] + ".", "signature"},
		"two parts":                {parts[0] + "." + parts[1], "no JSON Web Token"},
		"a large one":              {good + strings.Repeat("A", 16<<10), "16 KiB"},
		"algorithm none":           {raw(`{"alg":"none","kid":"`+id+`"}`, issuer.Claims("mlapp", nil), ""), "algorithm"},
		"algorithm NONE":           {raw(`{"alg":"NONE","kid":"`+id+`"}`, issuer.Claims("mlapp", nil), parts[2]), "algorithm"},
		"HMAC with the public key": {signed(jose.HS256, public, id, nil), "algorithm"},
		"a key that it brings":     {signed(jose.RS256, other, "", &jose.SignerOptions{EmbedJWK: true}), "signature"},
		"an unknown key":           {signed(jose.RS256, other, "x", nil), "does not publish"},
		"another key's signature":  {signed(jose.RS256, other, id, nil), "signature"},
		"other claims":             {raw(`{"alg":"RS256","kid":"`+id+`"}`, issuer.Claims("root", nil), parts[2]), "signature"},
		"a token for logging out":  {signed(jose.RS256, own, id, (&jose.SignerOptions{}).WithType("logout+jwt")), "another use"},
		"a critical header":        {signed(jose.RS256, own, id, (&jose.SignerOptions{}).WithCritical("x").WithHeader("x", 1)), "signature"},
		"expired":                  {issuer.Token("mlapp", map[string]any{"exp": now.Add(-time.Minute).Unix()}), "expired"},
		"no end":                   {issuer.Token("mlapp", map[string]any{"exp": nil}), "exp"},
		"no subject":               {issuer.Token("", nil), "sub"},
		"not valid yet":            {issuer.Token("mlapp", map[string]any{"nbf": now.Add(time.Minute).Unix()}), "not valid yet"},
		"issued in the future":     {issuer.Token("mlapp", map[string]any{"iat": now.Add(time.Minute).Unix()}), "not valid yet"},
		"another issuer":           {issuer.Token("mlapp", map[string]any{"iss": issuer.URL + "/"}), "another issuer"},
		"no issuer":                {issuer.Token("mlapp", map[string]any{"iss": nil}), "another issuer"},
		"another audience":         {issuer.Token("mlapp", map[string]any{"aud": "almanac2"}), "another audience"},
		"no audience":              {issuer.Token("mlapp", map[string]any{"aud": nil}), "another audience"},
		"claims of other forms":    {issuer.Token("mlapp", map[string]any{"exp": "soon"}), "cannot be read"},
	} {
		got, err := v.Verify(t.Context(), c.token)
		refusal, ok := errors.AsType[*identity.RefusalError](err)
		if !ok || !strings.Contains(refusal.Says, c.says) || got.Subject != "" {
			t.Errorf("%s: Verify = %v, %v, want a refusal with %q", name, got, err, c.says)
		}
		for part := range strings.SplitSeq(c.token, ".") {
			if len(part) > 16 && err != nil && strings.Contains(err.Error(), part) {
				t.Errorf("%s: the refusal holds a part of the token: %v", name, err)
			}
		}
	}
	if _, err := v.Verify(t.Context(), good); err != nil {
		t.Errorf("Verify of the good token = %v", err)
	}
}

func FuzzVerify(f *testing.F) {
	issuer := oidctest.New(f)
	v := open(f, config(issuer), time.Now)
	good := issuer.Token("mlapp", nil)
	for _, seed := range []string{good, "", "a.b.c", strings.TrimRight(good, "ABCD"), good + "=", strings.Replace(good, ".", "..", 1)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		got, err := v.Verify(t.Context(), token)
		switch {
		case err == nil && got.Subject != "mlapp":
			t.Errorf("Verify(%q) = %v", token, got)
		case err != nil && got.Subject != "":
			t.Errorf("Verify(%q) = %v with %v", token, got, err)
		}
	})
}
