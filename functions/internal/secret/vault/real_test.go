package vault_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/almanac-data/almanac/functions/internal/secret/reference"
	"github.com/almanac-data/almanac/functions/internal/secret/vault"
	"github.com/almanac-data/almanac/functions/internal/secret/vaulttest"
)

// lines collects a log.
type lines struct {
	bytes.Buffer

	mu sync.Mutex
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(p)
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.String()
}

func open(t *testing.T, cfg vault.Config, function string) (*vault.Client, *lines) {
	t.Helper()
	log := new(lines)
	c, err := vault.Open(t.Context(), cfg, function, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, log
}

var pseudonym = reference.Key{Mount: "transit", Name: "almanac-pseudonym", Version: 1}

func wants(t *testing.T, what string, err error, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: the error is %v, want %q", what, err, text)
		}
	}
}

func TestRealSecrets(t *testing.T) {
	b := vaulttest.Start(t)
	b.Put(t, "almanac/process/kafka", map[string]string{"password": "canary-one"})
	c, log := open(t, b.Config(t, "process"), "process")
	data, err := c.Secret(t.Context(), "kv", "almanac/process/kafka")
	if err != nil || data["password"] != "canary-one" {
		t.Fatalf("Secret() = %v, %v", data, err)
	}
	b.Put(t, "almanac/process/kafka", map[string]string{"password": "canary-two"})
	if data, err = c.Secret(t.Context(), "kv", "almanac/process/kafka"); err != nil || data["password"] != "canary-two" {
		t.Errorf("Secret() after a rotation = %v, %v", data, err)
	}
	_, err = c.Secret(t.Context(), "kv", "almanac/process/hdfs")
	wants(t, "a secret that is not there", err, "no such secret", "bao kv put -mount=kv almanac/process/hdfs")
	_, err = c.Secret(t.Context(), "kv2", "almanac/process/kafka")
	wants(t, "a mount that is not there", err, "kv2")
	b.Call(t, "DELETE", "kv/data/almanac/process/kafka", nil)
	_, err = c.Secret(t.Context(), "kv", "almanac/process/kafka")
	wants(t, "a secret that was deleted", err, "or it was deleted")
	if strings.Contains(log.text()+b.Audit(t), "canary") {
		t.Errorf("a secret stands in a log")
	}
}

var rows = reference.Key{Mount: "transit", Name: "almanac-rows"}

// rights are what functions may do with the key that wraps data keys and with that of pseudonyms; who is not named may do nothing.
var rights = map[string][]string{
	"collect": {"transit/datakey/plaintext/almanac-rows", "transit/decrypt/almanac-rows"},
	"process": {"transit/decrypt/almanac-rows", "transit/hmac/almanac-pseudonym"},
	"almanac": {"transit/datakey/plaintext/almanac-rows", "transit/decrypt/almanac-rows", "transit/rewrap/almanac-rows", "transit/hmac/almanac-pseudonym"},
}

// useRows tries all that can be done with it, by path.
func useRows(t *testing.T, c *vault.Client, wrapped string) map[string]error {
	t.Helper()
	_, _, made := c.DataKey(t.Context(), rows)
	_, used := c.Unwrap(t.Context(), rows, wrapped)
	_, again := c.Rewrap(t.Context(), rows, []string{wrapped})
	return map[string]error{"transit/datakey/plaintext/almanac-rows": made, "transit/decrypt/almanac-rows": used, "transit/rewrap/almanac-rows": again}
}

// TestRealDenials lets each function ask for what is each other's. The audit log must have each denial: to whom, and of what.
func TestRealDenials(t *testing.T) {
	b := vaulttest.Start(t)
	b.Authority(t)
	functions := b.Functions(t)
	b.Put(t, "almanac/shared/ca", map[string]string{"pem": "of all"})
	for _, function := range functions {
		b.Put(t, "almanac/"+function+"/kafka", map[string]string{"password": "of " + function})
	}
	var want []vaulttest.Denial
	maker, _ := open(t, b.Config(t, "almanac"), "almanac")
	_, wrapped, err := maker.DataKey(t.Context(), rows)
	if err != nil {
		t.Fatal(err)
	}
	for _, function := range functions {
		c, _ := open(t, b.Config(t, function), function)
		if _, err := c.Secret(t.Context(), "kv", "almanac/shared/ca"); err != nil {
			t.Errorf("%s may not read what is shared: %v", function, err)
		}
		want = slices.Concat(want, readOthers(t, c, function, functions), useKeys(t, c, function, wrapped), writeOthers(t, b, function, functions))
	}
	denied := b.Denied(t)
	for _, one := range want {
		if !slices.Contains(denied, one) {
			t.Errorf("the audit log holds no denial to %s of %s %s", one.Role, one.Operation, one.Path)
		}
	}
	if least := 3 * len(functions) * (len(functions) - 1); len(want) < least {
		t.Errorf("%d denials were tried, want %d at least", len(want), least)
	}
	t.Logf("%d denials", len(want))
}

// readOthers reads the secret of each function. It returns what must have been denied, as useKeys and writeOthers do.
func readOthers(t *testing.T, c *vault.Client, function string, functions []string) (denied []vaulttest.Denial) {
	t.Helper()
	for _, other := range functions {
		path := "almanac/" + other + "/kafka"
		_, err := c.Secret(t.Context(), "kv", path)
		if other == function {
			if err != nil {
				t.Errorf("%s may not read its own secret: %v", function, err)
			}
			continue
		}
		denied = append(denied, vaulttest.Denial{Role: function, Operation: "read", Path: "kv/data/" + path})
		wants(t, function+" reads "+path, err, "permission denied", `path "kv/data/`+path+`" { capabilities = ["read"] }`)
	}
	return denied
}

// useKeys tries all that can be done with the keys of transit.
func useKeys(t *testing.T, c *vault.Client, function, wrapped string) (denied []vaulttest.Denial) {
	t.Helper()
	all := useRows(t, c, wrapped)
	_, all["transit/hmac/almanac-pseudonym"] = c.HMAC(t.Context(), pseudonym, nil, [][]byte{[]byte("x")})
	for path, err := range all {
		if slices.Contains(rights[function], path) {
			if err != nil {
				t.Errorf("%s may not use %s: %v", function, path, err)
			}
			continue
		}
		denied = append(denied, vaulttest.Denial{Role: function, Operation: "update", Path: path})
		wants(t, function+" uses "+path, err, "permission denied", `path "`+path+`" { capabilities = ["update"] }`)
	}
	return denied
}

// writeOthers tries what no client of a function does: to write secrets, its own, too, to have certificates of others issued, and to take keys out of the store.
func writeOthers(t *testing.T, b *vaulttest.Bao, function string, functions []string) (denied []vaulttest.Denial) {
	t.Helper()
	ask := b.As(t, function)
	refused := func(method, operation, path string, body any) {
		t.Helper()
		if status := ask(method, path, body); status != http.StatusForbidden {
			t.Errorf("%s: %s %s = %d, want %d", function, method, path, status, http.StatusForbidden)
		}
		denied = append(denied, vaulttest.Denial{Role: function, Operation: operation, Path: path})
	}
	for _, other := range functions {
		refused("POST", "update", "kv/data/almanac/"+other+"/kafka", map[string]any{"data": map[string]string{"password": "mine"}})
		refused("POST", "create", "kv/data/almanac/"+other+"/new", map[string]any{"data": map[string]string{"password": "mine"}})
		if issue, body := "pki/issue/"+other, map[string]any{"common_name": "almanac-" + other}; other != function {
			refused("POST", "update", issue, body)
		} else if status := ask("POST", issue, body); status != http.StatusOK {
			t.Errorf("%s: POST %s = %d", function, issue, status)
		}
	}
	for _, key := range []string{"hmac-key/almanac-pseudonym", "encryption-key/almanac-rows"} {
		refused("GET", "read", "transit/export/"+key, nil)
	}
	for _, key := range []string{"almanac-pseudonym", "almanac-rows"} {
		refused("POST", "update", "transit/keys/"+key+"/config", map[string]any{"exportable": true})
		refused("POST", "update", "transit/keys/"+key+"/rotate", nil)
	}
	return denied
}

func TestRealTokensAreRenewedAndEndAndCome(t *testing.T) {
	b := vaulttest.Start(t)
	b.Put(t, "almanac/process/kafka", map[string]string{"password": "x"})
	b.Role(t, "process", "2s", "5s")
	c, log := open(t, b.Config(t, "process"), "process")
	for began := time.Now(); time.Since(began) < 14*time.Second; time.Sleep(100 * time.Millisecond) {
		if _, err := c.Secret(t.Context(), "kv", "almanac/process/kafka"); err != nil {
			t.Fatalf("after %s: %v", time.Since(began), err)
		}
	}
	audit := b.Audit(t)
	if n := strings.Count(audit, `"path":"auth/token/renew-self"`); n < 4 {
		t.Errorf("the token was renewed %d times", n/2)
	}
	if n := strings.Count(audit, `"path":"auth/approle/login"`) / 2; n < 3 {
		t.Errorf("%d logins in 14 s of tokens that live for 5 s", n)
	}
	if strings.Contains(log.text(), "cannot log in") {
		t.Error(log.text())
	}
}

func TestRealSealedStore(t *testing.T) {
	b := vaulttest.Start(t)
	b.Put(t, "almanac/process/kafka", map[string]string{"password": "x"})
	cfg := b.Config(t, "process")
	c, _ := open(t, cfg, "process")
	b.Seal(t)
	_, err := c.Secret(t.Context(), "kv", "almanac/process/kafka")
	wants(t, "read of a sealed store", err, "is sealed", "unseal it")
	_, err = c.HMAC(t.Context(), pseudonym, nil, [][]byte{[]byte("x")})
	wants(t, "HMAC of a sealed store", err, "is sealed")
	wants(t, "readiness with a sealed store", c.Ready(t.Context()), "is sealed")
	if !vault.Passing(err) {
		t.Errorf("that a store is sealed does not pass: %v", err)
	}
	if _, err = vault.Open(t.Context(), cfg, "process", slog.New(slog.DiscardHandler)); !vault.Passing(err) {
		t.Errorf("that a store is sealed at the start does not pass: %v", err)
	}
	wants(t, "login to a sealed store", err, "is sealed")
	b.Unseal(t)
	if _, err := c.Secret(t.Context(), "kv", "almanac/process/kafka"); err != nil {
		t.Errorf("after it was unsealed: %v", err)
	}
	if err := c.Ready(t.Context()); err != nil {
		t.Errorf("after it was unsealed: %v", err)
	}
}

func TestRealRevokedCredentials(t *testing.T) {
	b := vaulttest.Start(t)
	b.Put(t, "almanac/process/kafka", map[string]string{"password": "x"})
	cfg := b.Config(t, "process")
	c, log := open(t, cfg, "process")
	b.RevokeTokens(t)
	if _, err := c.Secret(t.Context(), "kv", "almanac/process/kafka"); err != nil {
		t.Fatalf("after its token was revoked: %v", err)
	}
	b.RevokeSecretID(t, "process", cfg.SecretIDFile)
	b.RevokeTokens(t)
	_, err := c.Secret(t.Context(), "kv", "almanac/process/kafka")
	wants(t, "a revoked secret id", err, "secret id in "+cfg.SecretIDFile, "no restart is needed", "bao write -f auth/approle/role/<role>/secret-id")
	wants(t, "readiness with a revoked secret id", c.Ready(t.Context()), cfg.SecretIDFile)
	b.NewSecretID(t, "process", cfg.SecretIDFile)
	if _, err := c.Secret(t.Context(), "kv", "almanac/process/kafka"); err != nil {
		t.Errorf("with a new secret id in the file: %v", err)
	}
	if err := c.Ready(t.Context()); err != nil {
		t.Errorf("with a new secret id in the file: %v", err)
	}
	b.Call(t, "POST", "auth/approle/role/process", map[string]any{"secret_id_ttl": "1s"})
	b.NewSecretID(t, "process", cfg.SecretIDFile)
	time.Sleep(2 * time.Second) // the store's clock decides
	_, err = vault.Open(t.Context(), cfg, "process", slog.New(slog.DiscardHandler))
	wants(t, "an expired secret id", err, "expired", cfg.SecretIDFile)
	if vault.Passing(err) {
		t.Errorf("an expired secret id passes: %v", err)
	}
	if strings.Contains(log.text(), "token=") {
		t.Error(log.text())
	}
}

func TestRealMistakes(t *testing.T) {
	b := vaulttest.Start(t)
	quiet := slog.New(slog.DiscardHandler)
	cfg := b.Config(t, "process")
	for name, c := range map[string]struct {
		change func(*vault.Config)
		want   string
	}{
		"another authority":     {func(c *vault.Config) { c.CA = vaulttest.Stranger(t) }, "ALMANAC_VAULT_CA"},
		"another host":          {func(c *vault.Config) { c.Server = strings.Replace(c.Server, "localhost", "127.0.0.1", 1) }, "not for the host"},
		"an unknown role":       {func(c *vault.Config) { c.RoleID = "none" }, "ALMANAC_VAULT_ROLE_ID"},
		"an unknown method":     {func(c *vault.Config) { c.Method = "approle2" }, "ALMANAC_VAULT_METHOD"},
		"no file":               {func(c *vault.Config) { c.SecretIDFile += ".none" }, "no such file"},
		"no account":            {func(c *vault.Config) { c.RoleID, c.SecretIDFile = "", "" }, "ALMANAC_VAULT_ROLE_ID"},
		"no server":             {func(c *vault.Config) { c.Server = "https://localhost:1" }, "connection refused"},
		"no name of the server": {func(c *vault.Config) { c.Server = "" }, "ALMANAC_VAULT is not set"},
	} {
		with := cfg
		c.change(&with)
		_, err := vault.Open(t.Context(), with, "process", quiet)
		wants(t, name, err, c.want)
	}
	c, _ := open(t, cfg, "process")
	for name, of := range map[string]struct {
		key  reference.Key
		want string
	}{
		"a key that is not there": {reference.Key{Mount: "transit", Name: "none", Version: 1}, `"transit/hmac/none" { capabilities = ["update"] }`},
		"a version to come":       {reference.Key{Mount: "transit", Name: "almanac-pseudonym", Version: 9}, "version 9 cannot be used"},
	} {
		_, err := c.HMAC(t.Context(), of.key, nil, [][]byte{[]byte("x")})
		wants(t, name, err, of.want)
	}
}

func TestRealHMACsAreThoseOfTheKeyAndOutliveItsRotation(t *testing.T) {
	b := vaulttest.Start(t)
	c, _ := open(t, b.Config(t, "process"), "process")
	exported, _ := b.Call(t, "GET", "transit/export/hmac-key/almanac-pseudonym/1", nil)["data"].(map[string]any)
	keys, _ := exported["keys"].(map[string]any)
	key, err := base64.StdEncoding.DecodeString(fmt.Sprint(keys["1"]))
	if err != nil || len(key) != 32 {
		t.Fatalf("the key is %d bytes, %v", len(key), err)
	}
	var values [][]byte
	var want []byte
	for _, v := range []string{"ann", "", "bob", "ann", "\x00\xff", strings.Repeat("long", 5000)} {
		values = append(values, []byte(v))
		h := hmac.New(sha256.New, key)
		h.Write([]byte(v))
		want = h.Sum(want)
	}
	for _, turn := range []string{"before", "after"} {
		got, err := c.HMAC(t.Context(), pseudonym, nil, values)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s a rotation: HMAC() = %x, %v, want %x", turn, got, err, want)
		}
		b.Call(t, "POST", "transit/keys/almanac-pseudonym/rotate", nil)
	}
	second := pseudonym
	second.Version = 2
	if got, err := c.HMAC(t.Context(), second, nil, values); err != nil || bytes.Equal(got[:32], want[:32]) {
		t.Errorf("version 2: HMAC() = %x, %v", got, err)
	}
	b.Call(t, "POST", "transit/keys/almanac-pseudonym/config", map[string]any{"min_decryption_version": 2, "min_encryption_version": 2})
	_, err = c.HMAC(t.Context(), pseudonym, nil, values)
	wants(t, "a version that is retired", err, "version 1 cannot be used", "min_encryption_version")
}
