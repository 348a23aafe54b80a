package e2e

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"testing"
	"time"
)

var bao = flag.String("bao", "", "the OpenBao `program`; without it the tests that need a real issuer of tokens are skipped")

// issuer is an OpenBao whose identity tokens name a door before it as their issuer, so that it can be away without losing its keys.
type issuer struct {
	url     string // as the claim iss has it
	door    string // host and port
	backend string
	cmd     *exec.Cmd
	server  *http.Server
}

const rootToken = "root-of-the-test" // of a server that lives as long as the test

// startBao starts it, with its door closed.
func startBao(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{backend: "127.0.0.1:" + freePort(t), door: "127.0.0.1:" + freePort(t)}
	i.url = "http://" + i.door + "/v1/identity/oidc"
	i.cmd = exec.Command(*bao, "server", "-dev", "-dev-no-store-token", "-dev-root-token-id="+rootToken, "-dev-listen-address="+i.backend)
	var log safeBuffer
	i.cmd.Stdout, i.cmd.Stderr = &log, &log
	i.cmd.Env = []string{"HOME=" + t.TempDir()}
	if err := i.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		i.close()
		_ = i.cmd.Process.Kill()
		_ = i.cmd.Wait() // it was killed
	})
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if response, err := http.Get("http://" + i.backend + "/v1/sys/health"); err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				break
			}
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("OpenBao does not start: %s", log.String())
		}
	}
	return i
}

// startIssuer starts it, and makes a user mlapp and a user guest, of whom mlapp is in the group research.
func startIssuer(t *testing.T) *issuer {
	t.Helper()
	i := startBao(t)
	i.call(t, rootToken, "POST", "identity/oidc/config", map[string]any{"issuer": "http://" + i.door})
	i.call(t, rootToken, "POST", "identity/oidc/key/almanac", map[string]any{"algorithm": "ES256", "allowed_client_ids": []string{"*"}})
	for role, audience := range map[string]string{"almanac": "almanac", "other": "other"} {
		i.call(t, rootToken, "POST", "identity/oidc/role/"+role, map[string]any{
			"key": "almanac", "client_id": audience, "ttl": "10m", "template": `{"groups": {{identity.entity.groups.names}}}`,
		})
	}
	i.call(t, rootToken, "POST", "sys/policies/acl/tokens", map[string]any{"policy": `path "identity/oidc/token/*" { capabilities = ["read"] }`})
	i.call(t, rootToken, "POST", "sys/auth/userpass", map[string]any{"type": "userpass"})
	for _, user := range []string{"mlapp", "guest"} {
		i.call(t, rootToken, "POST", "auth/userpass/users/"+user, map[string]any{"password": "secret", "token_policies": "tokens"})
	}
	_, entity := i.login(t, "mlapp")
	i.call(t, rootToken, "POST", "identity/group", map[string]any{"name": "research", "member_entity_ids": []string{entity}})
	return i
}

// call asks the API of OpenBao, and gives the answer.
func (i *issuer) call(t *testing.T, token, method, path string, body any) map[string]any {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), method, "http://"+i.backend+"/v1/"+path, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Vault-Token", token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode >= http.StatusMultipleChoices {
		t.Fatalf("%s %s is answered by %d: %s, %v", method, path, response.StatusCode, raw, err)
	}
	var answer map[string]any
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &answer); err != nil {
			t.Fatal(err)
		}
	}
	return answer
}

// login gives a user's token for OpenBao itself, and what it calls him.
func (i *issuer) login(t *testing.T, user string) (token, entity string) {
	t.Helper()
	auth, _ := i.call(t, "", "POST", "auth/userpass/login/"+user, map[string]any{"password": "secret"})["auth"].(map[string]any)
	return fmt.Sprint(auth["client_token"]), fmt.Sprint(auth["entity_id"])
}

// token gives a signed identity token of a user.
func (i *issuer) token(t *testing.T, user, role string) string {
	t.Helper()
	own, _ := i.login(t, user)
	data, _ := i.call(t, own, "GET", "identity/oidc/token/"+role, nil)["data"].(map[string]any)
	return fmt.Sprint(data["token"])
}

// open opens the door.
func (i *issuer) open(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", i.door)
	if err != nil {
		t.Fatal(err)
	}
	i.server = &http.Server{Handler: httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: i.backend})}
	go func(s *http.Server) { _ = s.Serve(l) }(i.server) // ends by close
}

func (i *issuer) close() {
	if i.server != nil {
		_ = i.server.Close()
		i.server = nil
	}
}
