package machines_test

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

var functions = []string{"calendar", "collect", "process", "validate", "store", "aggregate", "deliver", "serve", "source", "deadletter"}

// bao asks the first server of OpenBao. It returns the status and what is in data, or the whole answer.
func (s *site) bao(t *testing.T, method, path, token string, body map[string]any) (int, map[string]any) {
	t.Helper()
	return s.baoOn(t, s.groups["secrets"].Hosts[0], method, path, token, body)
}

func (s *site) baoOn(t *testing.T, host, method, path, token string, body map[string]any) (int, map[string]any) {
	t.Helper()
	status, answer, err := s.tryBao(t, host, method, path, token, body)
	if err != nil {
		t.Fatal(err)
	}
	return status, answer
}

// tryBao is bao for a server that may be away.
func (s *site) tryBao(t *testing.T, host, method, path, token string, body map[string]any) (int, map[string]any, error) {
	t.Helper()
	var sent bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&sent).Encode(body); err != nil {
			t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "https://"+host+":8200/v1/"+path, &sent)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Vault-Token", token)
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DialContext: s.dial, TLSClientConfig: s.trusting(), DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	var answer map[string]any
	_ = json.NewDecoder(resp.Body).Decode(&answer) // some answers are empty
	if data, ok := answer["data"].(map[string]any); ok {
		return resp.StatusCode, data, nil
	}
	return resp.StatusCode, answer, nil
}

// token logs a function in by what Ansible keeps of it.
func (s *site) token(t *testing.T, function string) string {
	t.Helper()
	token, err := s.tokenOn(t, s.groups["secrets"].Hosts[0], function)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// tokenOn is token of a server that may be away.
func (s *site) tokenOn(t *testing.T, host, function string) (string, error) {
	t.Helper()
	status, token, answer, err := s.logIn(t, host, function, s.file(t, "openbao", "approle", function, "secret_id"))
	if err == nil && (status != http.StatusOK || token == "") {
		err = fmt.Errorf("login of %s = %d, %v", function, status, answer)
	}
	return token, err
}

// logIn logs a role in to a server of OpenBao, which may be away, by a secret id. It returns the status, the token, if it is let in, and the answer.
func (s *site) logIn(t *testing.T, host, role, secret string) (status int, token string, answer map[string]any, err error) {
	t.Helper()
	status, answer, err = s.tryBao(t, host, http.MethodPost, "auth/approle/login", "", map[string]any{
		"role_id": s.file(t, "openbao", "approle", role, "role_id"), "secret_id": secret,
	})
	auth, _ := answer["auth"].(map[string]any)
	token, _ = auth["client_token"].(string)
	return status, token, answer, err
}

// issue has OpenBao make a key and a certificate for a function, the certificate followed by that of who signed it.
func (s *site) issue(t *testing.T, function string) (certificates, key string) {
	t.Helper()
	status, data := s.bao(t, http.MethodPost, "pki/issue/"+function, s.token(t, function), map[string]any{"common_name": "almanac-" + function})
	if status != http.StatusOK {
		t.Fatalf("pki/issue/%s = %d, %v", function, status, data)
	}
	certificate, _ := data["certificate"].(string)
	issuer, _ := data["issuing_ca"].(string)
	key, _ = data["private_key"].(string)
	return certificate + "\n" + issuer, key
}

// pair is a certificate of a function, by OpenBao.
func (s *site) pair(t *testing.T, function string) tls.Certificate {
	t.Helper()
	certificates, key := s.issue(t, function)
	pair, err := tls.X509KeyPair([]byte(certificates), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// refusals are what the audit log of OpenBao, a line an entry, has of requests that were refused since then: the role of whom, and what he wanted.
func refusals(t *testing.T, log string, since time.Time) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for line := range strings.Lines(log) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		var entry struct {
			Time  time.Time `json:"time"`
			Type  string    `json:"type"`
			Error string    `json:"error"`
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
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if entry.Type == "response" && strings.Contains(entry.Error, "permission denied") && !entry.Time.Before(since) {
			operation := entry.Request.Operation
			if operation == "create" { // of what is not there yet
				operation = "update"
			}
			found[denial(entry.Auth.Metadata.Role, operation, entry.Request.Path)] = true
		}
	}
	return found
}

// operations are what OpenBao calls the methods of HTTP that are used here.
var operations = map[string]string{http.MethodGet: "read", http.MethodPost: "update"}

// TestEachFunctionReachesItsOwnSecretsAlone tries each function at everything of each other. The audit log must have each refusal.
func TestEachFunctionReachesItsOwnSecretsAlone(t *testing.T) {
	s := furnished(t)
	began := time.Now()
	var refused []string
	text := base64.StdEncoding.EncodeToString([]byte("somebody"))
	for _, function := range functions {
		t.Run(function, func(t *testing.T) {
			token := s.token(t, function)
			try := func(method, path string, body map[string]any, want int) {
				t.Helper()
				if got, answer := s.bao(t, method, path, token, body); got != want {
					t.Errorf("%s %s = %d, want %d: %v", method, path, got, want, answer)
				}
				if want == http.StatusForbidden {
					refused = append(refused, denial(function, operations[method], path))
				}
			}
			keys := http.StatusForbidden
			if function == "process" {
				keys = http.StatusOK
			}
			try(http.MethodPost, "transit/hmac/almanac-pseudonym", map[string]any{"input": text}, keys)
			// collect makes data keys and uses them again, process uses them; to a key that is none the answer of who may is a bad request.
			makes, uses := http.StatusForbidden, http.StatusForbidden
			if function == "collect" {
				makes = http.StatusOK
			}
			if function == "collect" || function == "process" {
				uses = http.StatusBadRequest
			}
			try(http.MethodPost, "transit/datakey/plaintext/almanac-rows", map[string]any{}, makes)
			try(http.MethodPost, "transit/datakey/wrapped/almanac-rows", map[string]any{}, http.StatusForbidden)
			try(http.MethodPost, "transit/decrypt/almanac-rows", map[string]any{"ciphertext": "vault:v1:AAAA"}, uses)
			try(http.MethodPost, "transit/encrypt/almanac-rows", map[string]any{"plaintext": text}, http.StatusForbidden)
			try(http.MethodPost, "transit/rewrap/almanac-rows", map[string]any{"ciphertext": "vault:v1:AAAA"}, http.StatusForbidden)
			try(http.MethodPost, "transit/keys/almanac-rows/rotate", map[string]any{}, http.StatusForbidden)
			try(http.MethodGet, "transit/export/hmac-key/almanac-pseudonym", nil, http.StatusForbidden)
			try(http.MethodGet, "sys/policies/acl/process", nil, http.StatusForbidden)
			try(http.MethodPost, "auth/approle/role/process/secret-id", nil, http.StatusForbidden)
			for _, other := range functions {
				own := other == function
				read, issue := http.StatusForbidden, http.StatusForbidden
				if own {
					read, issue = http.StatusNotFound, http.StatusOK // nothing is kept there yet
				}
				try(http.MethodGet, "kv/data/almanac/"+other+"/nothing", nil, read)
				try(http.MethodPost, "kv/data/almanac/"+other+"/nothing", map[string]any{"data": map[string]any{"a": "b"}}, http.StatusForbidden)
				try(http.MethodPost, "pki/issue/"+other, map[string]any{"common_name": "almanac-" + other}, issue)
			}
			try(http.MethodPost, "pki/issue/"+function, map[string]any{"common_name": "kafka"}, http.StatusBadRequest)
		})
	}
	// The server that leads writes it, by its own clock.
	s.logged(t, "secrets", "grep -hsF 'permission denied' /var/log/openbao/audit.log || true", refused, func(log string) map[string]bool {
		return refusals(t, log, began.Add(-2*time.Second))
	})
	if len(refused) < 300 {
		t.Errorf("only %d refusals were tried", len(refused))
	}
}

// TestPseudonymsComeInBatches asks each server: that which leads takes batches of the size that the role sets, others forward those that OpenBao takes by itself.
func TestPseudonymsComeInBatches(t *testing.T) {
	s := furnished(t)
	token := s.token(t, "process")
	for _, host := range s.groups["secrets"].Hosts {
		_, leader := s.baoOn(t, host, http.MethodGet, "sys/leader", "", nil)
		size := 400
		if leader["is_self"] == true {
			size = 5000
		}
		batch := slices.Repeat([]map[string]string{{"input": base64.StdEncoding.EncodeToString([]byte("somebody"))}}, size)
		began := time.Now()
		status, data := s.baoOn(t, host, http.MethodPost, "transit/hmac/almanac-pseudonym", token, map[string]any{"batch_input": batch})
		results, _ := data["batch_results"].([]any)
		if status != http.StatusOK || len(results) != len(batch) {
			t.Fatalf("%s: a batch of %d = %d with %d results", host, len(batch), status, len(results))
		}
		first, _ := results[0].(map[string]any)
		last, _ := results[len(results)-1].(map[string]any)
		if hmac, _ := first["hmac"].(string); !strings.HasPrefix(hmac, "vault:v1:") || hmac != last["hmac"] {
			t.Errorf("%s: the pseudonyms of one name are %v and %v", host, first, last)
		}
		t.Logf("%s, of which it is %v that it leads: %d pseudonyms in %s", host, leader["is_self"], len(batch), time.Since(began).Round(time.Millisecond))
	}
}
