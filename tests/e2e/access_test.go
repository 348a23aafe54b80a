package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestServeOffLoopbackAsksWhoItIs starts serve where others could reach it, without saying who is let in. It must end before it listens.
func TestServeOffLoopbackAsksWhoItIs(t *testing.T) {
	if *functions == "" {
		t.Skip("give the folder of the functions' programs: -functions bin, made by make functions")
	}
	for name, env := range map[string]string{"by its address": "ALMANAC_HOST=0.0.0.0", "in Knative": "K_SERVICE=serve"} {
		cmd := exec.Command(filepath.Join(*functions, "serve"))
		cmd.Env = append(os.Environ(), env, "PORT="+freePort(t))
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "set ALMANAC_SERVE_OIDC_ISSUER") || strings.Contains(string(out), `"listening"`) {
			t.Errorf("%s: serve ends with %v: %s", name, err, out)
		}
	}
}

// guarded starts serve over the data of a run that serves, for whoever the issuer says, as a policy of the group research and no other. It
// does not wait until serve is ready.
func guarded(t *testing.T, i *issuer) (*client, *instance, string) {
	t.Helper()
	b := replayed(t)
	serving(t, b)
	raw, err := os.ReadFile(filepath.Join(b.Data, "endpoints.json"))
	if err != nil {
		t.Fatal(err)
	}
	var at struct {
		Kafka string `json:"kafka"`
	}
	if err := json.Unmarshal(raw, &at); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	policy, audit := filepath.Join(dir, "policy.yaml"), filepath.Join(dir, "audit.jsonl")
	if err := os.WriteFile(policy, []byte("readers:\n  - group: research\n    datasets: [flights]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := launch(t, "serve", "ALMANAC_KAFKA="+at.Kafka, "ALMANAC_WAREHOUSE="+filepath.Join(b.Data, "warehouse"), "ALMANAC_DATASETS="+b.Datasets,
		"ALMANAC_SERVE_OIDC_ISSUER="+i.url, "ALMANAC_SERVE_OIDC_AUDIENCE=almanac", "ALMANAC_SERVE_POLICY="+policy, "ALMANAC_SERVE_AUDIT="+audit, "ALMANAC_LOG=debug")
	return &client{base: f.url}, f, audit
}

func TestTokensOfARealIssuer(t *testing.T) {
	if *bao == "" || *functions == "" {
		t.Skip("give the programs: -functions bin, made by make functions, and -bao, which make auth-check does")
	}
	i := startIssuer(t)
	c, f, audit := guarded(t, i)
	t.Run("serve waits for an issuer that is away", func(t *testing.T) { testIssuerAway(t, i, c, f) })
	mlapp, guest, other := i.token(t, "mlapp", "almanac"), i.token(t, "guest", "almanac"), i.token(t, "mlapp", "other")
	bearer := func(token string) []string { return []string{"Authorization", "Bearer " + token} }
	t.Run("who is refused", func(t *testing.T) {
		for name, tt := range map[string]struct {
			header []string
			path   string
			status int
		}{
			"no token":                       {nil, "/v1/datasets", 401},
			"a token for another":            {bearer(other), "/v1/datasets", 401},
			"a token that was tampered with": {bearer(tampered(t, guest, mlapp)), "/v1/datasets", 401},
			"a user without rights":          {bearer(guest), "/v1/datasets", 403},
			"a dataset that is not granted":  {bearer(mlapp), "/v1/datasets/births", 404},
			"a dataset that is not there":    {bearer(mlapp), "/v1/datasets/nowhere", 404},
			"metrics":                        {bearer(mlapp), "/metrics", 403},
		} {
			a := c.do(t, http.MethodGet, tt.path, tt.header...)
			if a.status != tt.status || a.header.Get("Content-Type") != "application/problem+json" || (tt.status < 404) != (a.header.Get("WWW-Authenticate") != "") {
				t.Errorf("%s: GET %s is answered by %d: %s", name, tt.path, a.status, a.body)
			}
		}
	})
	t.Run("a download", func(t *testing.T) { testDownload(t, c, audit, mlapp) })
	t.Run("the key is rotated", func(t *testing.T) {
		i.call(t, rootToken, "POST", "identity/oidc/key/almanac/rotate", map[string]any{})
		next := i.token(t, "mlapp", "almanac")
		within(t, time.Minute, func() bool { return c.do(t, http.MethodGet, release, bearer(next)...).status == http.StatusOK })
		c.get(t, release, bearer(mlapp)...) // the key before stays published for a while
	})
	t.Run("the issuer goes away", func(t *testing.T) {
		i.close()
		c.get(t, release, bearer(mlapp)...)
		if f.status("/readyz") != http.StatusOK {
			t.Error("serve is not ready, though it has keys")
		}
	})
	for _, token := range []string{mlapp, guest, other} {
		for part := range strings.SplitSeq(token, ".") {
			if trail, err := os.ReadFile(audit); err != nil || strings.Contains(f.logs.String()+string(trail), part) {
				t.Errorf("a part of a token is logged: %s, %v", part, err)
			}
		}
	}
}

func testIssuerAway(t *testing.T, i *issuer, c *client, f *instance) {
	t.Helper()
	within(t, time.Minute, func() bool { return f.status("/readyz") == http.StatusServiceUnavailable })
	var a answered
	within(t, time.Minute, func() bool {
		a = c.do(t, http.MethodGet, "/readyz")
		return bytes.Contains(a.body, []byte(i.url+" (ALMANAC_SERVE_OIDC_ISSUER)")) && bytes.Contains(a.body, []byte("refused"))
	})
	if a = c.do(t, http.MethodGet, "/v1/datasets"); a.status != http.StatusServiceUnavailable || f.status("/healthz") != http.StatusOK {
		t.Errorf("while it waits, serve answers %d %s", a.status, a.body)
	}
	i.open(t)
	within(t, time.Minute, func() bool { return f.status("/readyz") == http.StatusOK })
}

// tampered is a token with the claims of another.
func tampered(t *testing.T, token, claims string) string {
	t.Helper()
	a, b := strings.Split(token, "."), strings.Split(claims, ".")
	if len(a) != 3 || len(b) != 3 {
		t.Fatalf("the issuer's tokens have %d and %d parts", len(a), len(b))
	}
	return a[0] + "." + b[1] + "." + a[2]
}

func testDownload(t *testing.T, c *client, audit, token string) {
	t.Helper()
	auth := []string{"Authorization", "Bearer " + token}
	var list struct {
		Datasets []struct {
			Name string `json:"name"`
		} `json:"datasets"`
	}
	if err := json.Unmarshal(c.get(t, "/v1/datasets", auth...).body, &list); err != nil || len(list.Datasets) != 1 || list.Datasets[0].Name != "flights" {
		t.Errorf("mlapp sees %+v, want flights alone: %v", list, err)
	}
	var doc manifest
	if err := json.Unmarshal(c.get(t, release+"/manifest", auth...).body, &doc); err != nil || len(doc.Content.Files) == 0 {
		t.Fatalf("the manifest lists %+v: %v", doc, err)
	}
	file := doc.Content.Files[0]
	a := c.get(t, release+"/files/"+file.SHA256+".parquet", auth...)
	if sum := sha256.Sum256(a.body); hex.EncodeToString(sum[:]) != file.SHA256 || !strings.HasPrefix(a.header.Get("Cache-Control"), "private") {
		t.Errorf("the file has digest %x and Cache-Control %s", sum, a.header.Get("Cache-Control"))
	}
	want := []string{`"audit":true,"event":"download","credential":"token"`, `"dataset":"flights","release":"training-2001-01.1","what":"file"`,
		fmt.Sprintf(`"sha256":"%s","status":200,"bytes":%d,"whole":true`, file.SHA256, file.Bytes)}
	within(t, 10*time.Second, func() bool { // the line is written after the answer
		trail, err := os.ReadFile(audit)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(trail)) {
			if strings.Contains(line, want[0]) && strings.Contains(line, want[1]) && strings.Contains(line, want[2]) {
				return true
			}
		}
		return false
	})
}

// within waits until something holds, and fails if it does not in time.
func within(t *testing.T, limit time.Duration, holds func() bool) {
	t.Helper()
	for began := time.Now(); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Since(began) > limit {
			t.Fatalf("it does not hold within %s", limit)
		}
	}
}
