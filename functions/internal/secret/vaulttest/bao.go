package vaulttest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/almanac-data/almanac/functions/internal/certs/certstest"
	"github.com/almanac-data/almanac/functions/internal/secret/vault"
)

// Program names the variable with the path of the server, which make secrets-check sets.
const Program = "ALMANAC_TEST_BAO"

// policies are those that ansible gives to the functions, from the folder of this package.
const policies = "../../../../ansible/roles/openbao/files/policies"

// Bao is an OpenBao with TLS, raft storage and an audit log, furnished as ansible does: kv, transit with its keys, a policy and a role of AppRole for
// each function. It ends with the test.
type Bao struct {
	URL string
	CA  string // PEM file

	dir    string
	client *http.Client
	done   chan struct{} // closed when it has ended
	root   string
	unseal string
}

// output is what a server says, for the test that it breaks.
type output struct {
	bytes.Buffer

	mu sync.Mutex
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.Buffer.Write(p)
}

func (o *output) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.String()
}

// Start runs it, or skips the test where no server is named. Each of the listener's settings is a line of its configuration.
func Start(tb testing.TB, listener ...string) *Bao {
	tb.Helper()
	program := os.Getenv(Program)
	if program == "" {
		tb.Skip("needs a real OpenBao: make secrets-check")
	}
	dir := tb.TempDir()
	b := &Bao{dir: dir, CA: filepath.Join(dir, "ca.pem")}
	authority := certstest.NewAuthority(tb, "authority")
	authority.WriteCA(b.CA)
	now := time.Now()
	authority.IssueServer(dir, "server", []string{"localhost"}, now.Add(-time.Hour), now.Add(time.Hour))
	cert, key := filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key")
	address := free(tb)
	_, port, _ := net.SplitHostPort(address)
	b.URL = "https://localhost:" + port
	config, data := filepath.Join(dir, "bao.hcl"), filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		tb.Fatal(err)
	}
	write(tb, config, fmt.Sprintf(`
storage "raft" {
  path    = %q
  node_id = "one"
}
cluster_addr = %q
listener "tcp" {
  address       = %q
  tls_cert_file = %q
  tls_key_file  = %q
  tls_min_version = "tls13"
  %s
}
audit "file" "file" { options = { file_path = %q } }
api_addr = %q
`, data, "https://"+free(tb), address, cert, key, strings.Join(listener, "\n  "), b.audit(), b.URL))
	log := new(output)
	cmd := exec.CommandContext(context.WithoutCancel(tb.Context()), program, "server", "-config="+config) //nolint:gosec // the tester names it
	cmd.Stdout, cmd.Stderr, cmd.Env = log, log, []string{"HOME=" + dir}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	b.done = make(chan struct{})
	go func() {
		_ = cmd.Wait() // it is killed in the end
		close(b.done)
	}()
	tb.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		<-b.done
		if tb.Failed() {
			tb.Logf("OpenBao says: %s", log.text())
		}
	})
	pool := x509.NewCertPool()
	pem, err := os.ReadFile(b.CA)
	if err != nil || !pool.AppendCertsFromPEM(pem) {
		tb.Fatal(err)
	}
	b.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool}}, Timeout: 20 * time.Second}
	tb.Cleanup(b.client.CloseIdleConnections)
	b.wait(tb, func() bool { return b.status("sys/seal-status") == http.StatusOK })
	init := b.Call(tb, "PUT", "sys/init", map[string]any{"secret_shares": 1, "secret_threshold": 1})
	b.root, _ = init["root_token"].(string)
	keys, _ := init["keys_base64"].([]any)
	b.unseal, _ = keys[0].(string)
	b.Unseal(tb)
	b.furnish(tb)
	return b
}

func free(tb testing.TB) string {
	tb.Helper()
	l, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = l.Close() }() // its address is all that is wanted
	return l.Addr().String()
}

func write(tb testing.TB, file, text string) {
	tb.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
}

func (b *Bao) audit() string { return filepath.Join(b.dir, "audit.log") }

func (b *Bao) wait(tb testing.TB, until func() bool) {
	tb.Helper()
	for began := time.Now(); !until(); {
		select {
		case <-b.done:
			tb.Fatal("OpenBao has ended")
		case <-time.After(50 * time.Millisecond):
		}
		if time.Since(began) > 30*time.Second {
			tb.Fatal("OpenBao does not come up")
		}
	}
}

func (b *Bao) status(path string) int {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, b.URL+"/v1/"+path, nil)
	if err != nil {
		return 0
	}
	response, err := b.client.Do(request)
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// Unseal opens it, and waits until it is active.
func (b *Bao) Unseal(tb testing.TB) {
	tb.Helper()
	b.Call(tb, "PUT", "sys/unseal", map[string]any{"key": b.unseal})
	b.wait(tb, func() bool { return b.status("sys/health") == http.StatusOK })
}

// Seal closes it.
func (b *Bao) Seal(tb testing.TB) {
	tb.Helper()
	b.Call(tb, "PUT", "sys/seal", nil)
}

// furnish makes what functions find.
func (b *Bao) furnish(tb testing.TB) {
	tb.Helper()
	b.Call(tb, "POST", "sys/mounts/kv", map[string]any{"type": "kv", "options": map[string]any{"version": "2"}})
	b.mount(tb, "sys/mounts/transit", "transit")
	b.Call(tb, "POST", "transit/keys/almanac-pseudonym", map[string]any{"type": "hmac", "key_size": 32, "exportable": true})
	b.Call(tb, "POST", "transit/keys/almanac-rows", map[string]any{"type": "aes256-gcm96"})
	b.mount(tb, "sys/auth/approle", "approle")
	for _, function := range b.Functions(tb) {
		text, err := os.ReadFile(filepath.Join(policies, function+".hcl"))
		if err != nil {
			tb.Fatal(err)
		}
		b.Call(tb, "POST", "sys/policies/acl/"+function, map[string]any{"policy": string(text)})
		b.Role(tb, function, "1h", "24h")
	}
}

func (b *Bao) mount(tb testing.TB, path, kind string) {
	tb.Helper()
	b.Call(tb, "POST", path, map[string]any{"type": kind})
}

// Functions are those that have a policy.
func (b *Bao) Functions(tb testing.TB) (names []string) {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join(policies, "*.hcl"))
	if err != nil || len(files) < 10 {
		tb.Fatalf("policies: %v, %v", files, err)
	}
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".hcl"))
	}
	return names
}

// Role says how long the tokens of a function live.
func (b *Bao) Role(tb testing.TB, function, ttl, most string) {
	tb.Helper()
	b.Call(tb, "POST", "auth/approle/role/"+function, map[string]any{"token_policies": []string{function}, "token_ttl": ttl, "token_max_ttl": most})
}

// Call asks its API as root, and gives the answer.
func (b *Bao) Call(tb testing.TB, method, path string, body any) map[string]any {
	tb.Helper()
	status, answer := b.ask(tb, b.root, method, path, body)
	if status >= http.StatusMultipleChoices {
		tb.Fatalf("%s %s is answered by %d: %v", method, path, status, answer)
	}
	return answer
}

// As logs in as a function, and gives what asks its API with that token: it returns the status.
func (b *Bao) As(tb testing.TB, function string) func(method, path string, body any) int {
	tb.Helper()
	cfg := b.Config(tb, function)
	id, err := os.ReadFile(cfg.SecretIDFile)
	if err != nil {
		tb.Fatal(err)
	}
	login := map[string]any{"role_id": cfg.RoleID, "secret_id": strings.TrimSpace(string(id))}
	auth, _ := b.Call(tb, "POST", "auth/approle/login", login)["auth"].(map[string]any)
	token, _ := auth["client_token"].(string)
	return func(method, path string, body any) int {
		tb.Helper()
		status, _ := b.ask(tb, token, method, path, body)
		return status
	}
}

func (b *Bao) ask(tb testing.TB, token, method, path string, body any) (int, map[string]any) {
	tb.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		tb.Fatal(err)
	}
	request, err := http.NewRequestWithContext(tb.Context(), method, b.URL+"/v1/"+path, bytes.NewReader(text))
	if err != nil {
		tb.Fatal(err)
	}
	request.Header.Set("X-Vault-Token", token)
	response, err := b.client.Do(request)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }() // it is read
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		tb.Fatal(err)
	}
	var answer map[string]any
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &answer); err != nil {
			tb.Fatal(err)
		}
	}
	return response.StatusCode, answer
}

// Authority makes it an authority that issues certificates, to each function those of its name.
func (b *Bao) Authority(tb testing.TB) {
	tb.Helper()
	const pki = "pki"
	b.mount(tb, "sys/mounts/"+pki, pki)
	b.Call(tb, "POST", path.Join(pki, "root", "generate", "internal"), map[string]any{"common_name": "authority", "key_type": "ec"})
	for _, function := range b.Functions(tb) {
		b.Call(tb, "POST", path.Join(pki, "roles", function), map[string]any{
			"allowed_domains": []string{"almanac-" + function}, "allow_bare_domains": true, "enforce_hostnames": false, "key_type": "ec", "ttl": "1h",
		})
	}
}

// Put writes a secret of the mount kv.
func (b *Bao) Put(tb testing.TB, path string, values map[string]string) {
	tb.Helper()
	b.Call(tb, "POST", "kv/data/"+path, map[string]any{"data": values})
}

// Config logs in as a function, with a new secret id.
func (b *Bao) Config(tb testing.TB, function string) vault.Config {
	tb.Helper()
	role, _ := b.Call(tb, "GET", "auth/approle/role/"+function+"/role-id", nil)["data"].(map[string]any)
	cfg := vault.Config{
		Server: b.URL, CA: b.CA, SecretIDFile: filepath.Join(tb.TempDir(), "secret-id"), RoleID: fmt.Sprint(role["role_id"]),
		Refresh: vault.DefaultRefresh, Timeout: vault.DefaultTimeout,
	}
	b.NewSecretID(tb, function, cfg.SecretIDFile)
	return cfg
}

// NewSecretID puts another secret id into a file.
func (b *Bao) NewSecretID(tb testing.TB, function, file string) {
	tb.Helper()
	made, _ := b.Call(tb, "POST", "auth/approle/role/"+function+"/secret-id", nil)["data"].(map[string]any)
	write(tb, file, fmt.Sprintln(made["secret_id"]))
}

// RevokeSecretID makes that of a file useless.
func (b *Bao) RevokeSecretID(tb testing.TB, function, file string) {
	tb.Helper()
	id, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	b.Call(tb, "POST", "auth/approle/role/"+function+"/secret-id/destroy", map[string]any{"secret_id": strings.TrimSpace(string(id))})
}

// RevokeTokens ends all tokens of AppRole.
func (b *Bao) RevokeTokens(tb testing.TB) {
	tb.Helper()
	b.Call(tb, "PUT", "sys/leases/revoke-prefix/auth/approle/login", nil)
}

// Denial is a request that was denied: the role of whom, what OpenBao calls what he wanted (read, create, update), and of what.
type Denial struct{ Role, Operation, Path string }

// Denied lists the denials that the audit log has, each once.
func (b *Bao) Denied(tb testing.TB) (denials []Denial) {
	tb.Helper()
	for line := range strings.Lines(b.Audit(tb)) {
		var entry struct {
			Error string `json:"error"`
			Auth  struct {
				Metadata struct {
					Role string `json:"role_name"`
				} `json:"metadata"`
			} `json:"auth"`
			Request struct {
				Operation string `json:"operation"`
				Path      string `json:"path"`
			} `json:"request"`
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil || !strings.Contains(entry.Error, "permission denied") {
			continue
		}
		denial := Denial{entry.Auth.Metadata.Role, entry.Request.Operation, entry.Request.Path}
		if !slices.Contains(denials, denial) {
			denials = append(denials, denial)
		}
	}
	return denials
}

// Audit is the audit log.
func (b *Bao) Audit(tb testing.TB) string {
	tb.Helper()
	text, err := os.ReadFile(b.audit())
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

// Stranger is a PEM file of an authority that has signed nothing.
func Stranger(tb testing.TB) string {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "ca.pem")
	certstest.NewAuthority(tb, "stranger").WriteCA(file)
	return file
}
