// Package vaulttest gives tests a secrets store: a fake that answers as OpenBao 2.7.2 does, or the real server.
package vaulttest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/almanac-data/almanac/functions/internal/secret/vault"
)

// Fake answers what functions ask. Its fields may be changed, and read, between requests.
type Fake struct {
	URL string

	mu       sync.Mutex
	secrets  map[string]map[string]string
	answers  map[string]int // status of a path, in place of the right answer
	tokens   map[string]bool
	logins   int
	batches  []int
	most     int // strings of a batch
	after    int // batches that are answered before the store is sealed; less than 0 for all
	secretID string
}

// HMACKey is the key of the fake's transit, version 1.
const HMACKey = "the key of the fake"

// NewFake starts it, with a role whose secret id is one.
func NewFake(tb testing.TB) *Fake {
	tb.Helper()
	f := &Fake{secrets: map[string]map[string]string{}, answers: map[string]int{}, tokens: map[string]bool{}, most: 1000, after: -1, secretID: "one"}
	server := httptest.NewServer(f)
	tb.Cleanup(server.Close)
	f.URL = server.URL
	return f
}

// Env are the variables with which a function logs in to it.
func (f *Fake) Env(tb testing.TB) map[string]string {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "secret-id")
	if err := os.WriteFile(file, []byte("one\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
	return map[string]string{"ALMANAC_VAULT": f.URL, "ALMANAC_VAULT_ROLE_ID": "role", "ALMANAC_VAULT_SECRET_ID_FILE": file}
}

// Config is the same for who has no environment.
func (f *Fake) Config(tb testing.TB) vault.Config {
	tb.Helper()
	env := f.Env(tb)
	return vault.Config{
		Server: f.URL, RoleID: env["ALMANAC_VAULT_ROLE_ID"], SecretIDFile: env["ALMANAC_VAULT_SECRET_ID_FILE"],
		Refresh: vault.DefaultRefresh, Timeout: vault.DefaultTimeout,
	}
}

// Put writes a secret of the mount kv.
func (f *Fake) Put(path string, values map[string]string) { f.do(func() { f.secrets[path] = values }) }

// Answer makes it answer a path with a status; 0 is the right answer again.
func (f *Fake) Answer(path string, status int) { f.do(func() { f.answers[path] = status }) }

// Revoke ends all tokens.
func (f *Fake) Revoke() { f.do(func() { clear(f.tokens) }) }

// Rotate makes another secret id the right one.
func (f *Fake) Rotate(id string) { f.do(func() { f.secretID = id }) }

// Most bounds the values of a batch.
func (f *Fake) Most(values int) { f.do(func() { f.most = values }) }

// SealAfter seals the store after so many batches; less than 0 unseals it.
func (f *Fake) SealAfter(batches int) { f.do(func() { f.after, f.batches = batches, nil }) }

// Batches are the sizes of those that were answered.
func (f *Fake) Batches() (sizes []int) {
	f.do(func() { sizes = append(sizes, f.batches...) })
	return sizes
}

// Logins counts them.
func (f *Fake) Logins() (n int) {
	f.do(func() { n = f.logins })
	return n
}

func (f *Fake) do(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	status, body := f.answer(r, strings.TrimPrefix(r.URL.Path, "/v1/"))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if body != nil {
		_ = json.NewEncoder(w).Encode(body) //nolint:errchkjson // maps of texts and numbers; the client may be gone
	}
}

func wrong(text string) map[string]any { return map[string]any{"errors": []string{text}} }

func (f *Fake) answer(r *http.Request, path string) (int, any) {
	var in struct {
		Secret    string `json:"secret_id"`
		Algorithm string `json:"algorithm"`
		Version   int    `json:"key_version"`
		Batch     []struct {
			Input string `json:"input"`
		} `json:"batch_input"`
	}
	_ = json.NewDecoder(r.Body).Decode(&in) // reads have none
	if path == "sys/seal-status" {
		return http.StatusOK, map[string]any{"sealed": f.after == 0, "initialized": true}
	}
	if f.after == 0 {
		return http.StatusServiceUnavailable, wrong("Vault is sealed")
	}
	if status := f.answers[path]; status != 0 {
		return status, wrong("as the test wants")
	}
	if path == "auth/approle/login" {
		if in.Secret != f.secretID {
			return http.StatusBadRequest, wrong("invalid role or secret ID")
		}
		f.logins++
		token := fmt.Sprintf("token-%d", f.logins)
		f.tokens[token] = true
		return http.StatusOK, map[string]any{"auth": map[string]any{"client_token": token, "renewable": true, "lease_duration": 3600}}
	}
	if !f.tokens[r.Header.Get("X-Vault-Token")] {
		return http.StatusForbidden, wrong("permission denied")
	}
	switch {
	case path == "transit/hmac/almanac-pseudonym":
		if len(in.Batch) > f.most {
			return http.StatusBadRequest, wrong("number of JSON strings exceeds the limit")
		}
		if f.after > 0 {
			f.after--
		}
		f.batches = append(f.batches, len(in.Batch))
		var results []map[string]string
		for _, b := range in.Batch {
			raw, _ := base64.StdEncoding.DecodeString(b.Input)
			h := hmac.New(sha256.New, []byte(HMACKey))
			h.Write(raw)
			results = append(results, map[string]string{"hmac": fmt.Sprintf("vault:v%d:%s", in.Version, base64.StdEncoding.EncodeToString(h.Sum(nil)))})
		}
		return http.StatusOK, map[string]any{"data": map[string]any{"batch_results": results}}
	case strings.HasPrefix(path, "kv/data/"):
		values, there := f.secrets[strings.TrimPrefix(path, "kv/data/")]
		if !there {
			return http.StatusNotFound, map[string]any{"errors": []string{}}
		}
		return http.StatusOK, map[string]any{"data": map[string]any{"data": values, "metadata": map[string]any{"version": 1}}}
	case strings.HasPrefix(path, "auth/token/"):
		return http.StatusOK, map[string]any{"data": map[string]any{"id": "x"}, "auth": map[string]any{"client_token": "x", "renewable": true, "lease_duration": 3600}}
	}
	return http.StatusNotFound, wrong("no handler for route \"" + path + "\"")
}
