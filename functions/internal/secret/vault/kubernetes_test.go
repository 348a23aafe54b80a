package vault_test

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/almanac-data/almanac/functions/internal/secret/vault"
	"github.com/almanac-data/almanac/functions/internal/secret/vaulttest"
)

// accountToken is as Kubernetes makes them, but for its signature, which the API server judges.
func accountToken(t *testing.T, account, audience string) string {
	t.Helper()
	claims, err := json.Marshal(map[string]any{
		"iss": "https://kubernetes.default.svc", "aud": []string{audience}, "sub": "system:serviceaccount:almanac:" + account,
		"exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(), "nbf": time.Now().Unix(),
		"kubernetes.io": map[string]any{"namespace": "almanac", "serviceaccount": map[string]any{"name": account, "uid": "uid-of-" + account}},
	})
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"RS256","kid":"one"}`)) + "." + encode(claims) + "." + encode(make([]byte, 256))
}

// apiServer answers reviews of tokens, as that of Kubernetes does.
func apiServer(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review struct {
			Spec struct {
				Token string `json:"token"`
			} `json:"spec"`
		}
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil || r.URL.Path != "/apis/authentication.k8s.io/v1/tokenreviews" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		status := map[string]any{"authenticated": false, "error": "no such token"}
		for _, account := range []string{"process", "store"} {
			if review.Spec.Token == accountToken(t, account, "almanac-vault") {
				status = map[string]any{"authenticated": true, "audiences": []string{"almanac-vault"}, "user": map[string]any{
					"username": "system:serviceaccount:almanac:" + account, "uid": "uid-of-" + account,
					"groups": []string{"system:serviceaccounts", "system:serviceaccounts:almanac"},
				}}
			}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status})
	}))
	t.Cleanup(s.Close)
	return s
}

func TestRealLoginByAServiceAccount(t *testing.T) {
	b := vaulttest.Start(t)
	b.Put(t, "almanac/process/kafka", map[string]string{"password": "x"})
	kubernetes := apiServer(t)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: kubernetes.Certificate().Raw})
	b.Call(t, "POST", "sys/auth/kubernetes", map[string]any{"type": "kubernetes"})
	b.Call(t, "POST", "auth/kubernetes/config", map[string]any{
		"kubernetes_host": kubernetes.URL, "kubernetes_ca_cert": string(ca), "disable_local_ca_jwt": true,
	})
	b.Call(t, "POST", "auth/kubernetes/role/process", map[string]any{
		"bound_service_account_names": []string{"process"}, "bound_service_account_namespaces": []string{"almanac"}, "audience": "almanac-vault",
		"token_policies": []string{"process"}, "token_ttl": "1h",
	})
	file := filepath.Join(t.TempDir(), "token")
	cfg := vault.Config{Server: b.URL, CA: b.CA, TokenFile: file, Refresh: vault.DefaultRefresh, Timeout: vault.DefaultTimeout}
	for name, c := range map[string]struct {
		function, token string
		wants           []string
	}{
		"the function's":     {"process", accountToken(t, "process", "almanac-vault"), nil},
		"another function's": {"process", accountToken(t, "store", "almanac-vault"), []string{`as "process"`, "bound to the service account", file}},
		"another audience":   {"process", accountToken(t, "process", "kubernetes"), []string{`as "process"`, "audience"}},
		"no role":            {"collect", accountToken(t, "process", "almanac-vault"), []string{`as "collect"`, "role"}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(file, []byte(c.token), 0o600); err != nil {
				t.Fatal(err)
			}
			client, err := vault.Open(t.Context(), cfg, c.function, slog.New(slog.DiscardHandler))
			if len(c.wants) > 0 {
				wants(t, "login", err, c.wants...)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			if data, err := client.Secret(t.Context(), "kv", "almanac/process/kafka"); err != nil || fmt.Sprint(data["password"]) != "x" {
				t.Errorf("Secret() = %v, %v", data, err)
			}
		})
	}
}
