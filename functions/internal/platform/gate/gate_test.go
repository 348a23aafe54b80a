package gate_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sethvargo/go-envconfig"

	"github.com/almanac-data/almanac/functions/internal/certs/certstest"
	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/oidc/oidctest"
	"github.com/almanac-data/almanac/functions/internal/platform/gate"
	"github.com/almanac-data/almanac/functions/internal/settings"
)

func process(t *testing.T, env map[string]string, log io.Writer) *fn.Process {
	t.Helper()
	p, err := fn.New(t.Context(), "serve", envconfig.MapLookuper(env), slog.New(slog.NewJSONHandler(log, nil)), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const policy = "readers:\n- {subject: mlapp, datasets: [flights]}\n- {certificate: trainer, datasets: ['*']}\n"

func TestWhatItDoesNotStartWith(t *testing.T) {
	issuer, dir, now := oidctest.New(t), t.TempDir(), time.Now()
	ca := certstest.NewAuthority(t, "ca")
	caFile := filepath.Join(dir, "ca.crt")
	ca.WriteCA(caFile)
	cert, key, _ := ca.Issue(dir, "server", now.Add(-time.Hour), now.Add(time.Hour))
	old, oldKey, _ := ca.Issue(dir, "old", now.Add(-time.Hour), now.Add(-time.Minute))
	good := write(t, "policy.yaml", policy)
	oidc := map[string]string{"ALMANAC_SERVE_OIDC_ISSUER": issuer.URL, "ALMANAC_SERVE_OIDC_AUDIENCE": oidctest.Audience, "ALMANAC_SERVE_POLICY": good}
	mtls := map[string]string{"ALMANAC_SERVE_CERT": cert, "ALMANAC_SERVE_KEY": key, "ALMANAC_SERVE_CLIENT_CA": caFile, "ALMANAC_SERVE_POLICY": good}
	with := func(base map[string]string, pairs ...string) map[string]string {
		env := map[string]string{"ALMANAC_HOST": "0.0.0.0"}
		maps.Copy(env, base)
		for i := 0; i < len(pairs); i += 2 {
			env[pairs[i]] = pairs[i+1]
		}
		return env
	}
	for name, c := range map[string]struct {
		env  map[string]string
		says string // empty: it starts
	}{
		"tokens off loopback":               {with(oidc), ""},
		"certificates off loopback":         {with(mtls), ""},
		"nothing on loopback":               {map[string]string{}, ""},
		"nothing on localhost":              {map[string]string{"ALMANAC_HOST": "localhost"}, ""},
		"nothing off loopback":              {with(nil), "must ask callers who they are: set ALMANAC_SERVE_OIDC_ISSUER"},
		"nothing in Knative":                {map[string]string{"K_SERVICE": "serve"}, "must ask callers"},
		"nothing on IPv6":                   {map[string]string{"ALMANAC_HOST": "::"}, "must ask callers"},
		"nothing on a name":                 {map[string]string{"ALMANAC_HOST": "serve.example.org"}, "must ask callers"},
		"TLS alone off loopback":            {with(nil, "ALMANAC_SERVE_CERT", cert, "ALMANAC_SERVE_KEY", key), "must ask callers"},
		"an issuer that tells a password":   {with(oidc, "ALMANAC_SERVE_OIDC_ISSUER", "https://a:b@id.example.org", "ALMANAC_SERVE_OIDC_KEYS", "/keys.json"), "URL without user"},
		"no policy":                         {with(oidc, "ALMANAC_SERVE_POLICY", ""), "ALMANAC_SERVE_POLICY must be set"},
		"a policy for nobody":               {map[string]string{"ALMANAC_SERVE_POLICY": good}, "needs ALMANAC_SERVE_OIDC_ISSUER or"},
		"a policy that is not there":        {with(oidc, "ALMANAC_SERVE_POLICY", "/nowhere.yaml"), "read ALMANAC_SERVE_POLICY"},
		"a policy with a mistake":           {with(oidc, "ALMANAC_SERVE_POLICY", write(t, "p.yaml", "readers: [{subject: a}]")), "p.yaml:1: readers[0]: grants nothing"},
		"client certificates without TLS":   {with(mtls, "ALMANAC_SERVE_CERT", "", "ALMANAC_SERVE_KEY", ""), "ALMANAC_SERVE_CLIENT_CA needs ALMANAC_SERVE_CERT"},
		"a certificate without its key":     {with(mtls, "ALMANAC_SERVE_KEY", ""), "must be set together"},
		"a key of another certificate":      {with(mtls, "ALMANAC_SERVE_KEY", oldKey), "read ALMANAC_SERVE_CERT and ALMANAC_SERVE_KEY"},
		"a certificate that has expired":    {with(mtls, "ALMANAC_SERVE_CERT", old, "ALMANAC_SERVE_KEY", oldKey), "expired at"},
		"an authority that is none":         {with(mtls, "ALMANAC_SERVE_CLIENT_CA", good), "read ALMANAC_SERVE_CLIENT_CA"},
		"an issuer that is away":            {with(oidc, "ALMANAC_SERVE_OIDC_ISSUER", "http://127.0.0.1:1"), "ALMANAC_SERVE_OIDC_ISSUER"},
		"a trail that cannot be written":    {with(oidc, "ALMANAC_SERVE_AUDIT", "/nowhere/audit.jsonl"), "ALMANAC_SERVE_AUDIT"},
		"no request at once":                {with(oidc, "ALMANAC_SERVE_PER_CALLER", "0"), "ALMANAC_SERVE_PER_CALLER must be 1 or more"},
		"an audience is missing and a port": {with(oidc, "ALMANAC_SERVE_OIDC_AUDIENCE", ""), "ALMANAC_SERVE_OIDC_AUDIENCE"},
	} {
		g, err := gate.Open(t.Context(), process(t, c.env, io.Discard), io.Discard)
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%s: Open = %v", name, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: Open = %v, want %q", name, err, c.says)
		}
		if err == nil {
			g.Close()
		}
	}
}

func TestTheSettingsAreThoseOfTheDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "## Settings")
	table, _, _ = strings.Cut(table, "\n##")
	var got []string
	for _, row := range regexp.MustCompile(`(?m)^\| .*`).FindAllString(table, -1) {
		cells := strings.Split(row, "|")
		names, keys := regexp.MustCompile("`(ALMANAC_[A-Z_]+)`").FindAllStringSubmatch(cells[1], -1), regexp.MustCompile("`([a-z._]+)`").FindAllStringSubmatch(cells[2], -1)
		for i, name := range names {
			got = append(got, name[1])
			if want := settings.Key(name[1]); keys[i][1] != want {
				t.Errorf("the key of %s is %s, want %s", name[1], keys[i][1], want)
			}
		}
	}
	own := slices.DeleteFunc(fn.Variables(gate.Config{}), func(name string) bool { return !strings.HasPrefix(name, "ALMANAC_SERVE_") })
	slices.Sort(got)
	if diff := cmp.Diff(own, got); diff != "" {
		t.Error(diff)
	}
}

func TestTokensInClearAreWarnedOf(t *testing.T) {
	issuer := oidctest.New(t)
	for host, want := range map[string]bool{"0.0.0.0": true, "127.0.0.1": false} {
		var log bytes.Buffer
		g, err := gate.Open(t.Context(), process(t, map[string]string{
			"ALMANAC_HOST": host, "ALMANAC_SERVE_OIDC_ISSUER": issuer.URL, "ALMANAC_SERVE_OIDC_AUDIENCE": "a", "ALMANAC_SERVE_POLICY": write(t, "p.yaml", policy),
		}, &log), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		g.Close()
		if got := strings.Contains(log.String(), "plain HTTP"); got != want {
			t.Errorf("on %s: warned %v, want %v: %s", host, got, want, log.String())
		}
	}
}

// TestOnLoopbackNothingIsReadByAnotherName asks as a page does whose name was made to point here (DNS rebinding).
func TestOnLoopbackNothingIsReadByAnotherName(t *testing.T) {
	p := process(t, map[string]string{"ALMANAC_QUIET": "1ms"}, io.Discard)
	g, err := gate.Open(t.Context(), p, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- p.Listen(ctx, l, g.Guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "rows") })))
	}()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	for host, want := range map[string]int{"": 200, "evil.example": 421} {
		for _, path := range []string{"/", "/metrics"} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String()+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = host
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("GET %s of host %q = %d, want %d", path, host, resp.StatusCode, want)
			}
		}
	}
}

func TestADoctorSaysWhoIsLetIn(t *testing.T) {
	issuer := oidctest.New(t)
	env := map[string]string{"ALMANAC_SERVE_OIDC_ISSUER": issuer.URL, "ALMANAC_SERVE_OIDC_AUDIENCE": "a", "ALMANAC_SERVE_POLICY": write(t, "p.yaml", policy)}
	for name, c := range map[string]struct {
		env      map[string]string
		datasets []string
		says     string
		ok       bool
	}{
		"nothing":                          {nil, nil, "loopback only", true},
		"tokens":                           {env, []string{"flights"}, "holders of tokens of " + issuer.URL, true},
		"a dataset that is not there":      {env, []string{"births"}, `grants "flights", and there is no dataset of that name; there are: births`, false},
		"an issuer that does not answer":   {map[string]string{"ALMANAC_SERVE_OIDC_ISSUER": "http://127.0.0.1:1", "ALMANAC_SERVE_OIDC_AUDIENCE": "a", "ALMANAC_SERVE_POLICY": env["ALMANAC_SERVE_POLICY"]}, nil, "refused", false},
		"a certificate that is not there":  {map[string]string{"ALMANAC_SERVE_CERT": "/nowhere", "ALMANAC_SERVE_KEY": "/nowhere"}, nil, "ALMANAC_SERVE_CERT", false},
		"settings that contradict another": {map[string]string{"ALMANAC_SERVE_POLICY": "x"}, nil, "nobody is asked", false},
	} {
		text, err := gate.Examine(t.Context(), process(t, c.env, io.Discard), c.datasets)
		if err != nil {
			text = err.Error()
		}
		if (err == nil) != c.ok || !strings.Contains(text, c.says) {
			t.Errorf("%s: Examine = %s, ok %v, want %q", name, text, err == nil, c.says)
		}
	}
}

// TestTheServersCertificateIsRotated replaces certificate and key of a server that runs.
func TestTheServersCertificateIsRotated(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	ca := certstest.NewAuthority(t, "ca")
	caFile := filepath.Join(dir, "ca.crt")
	ca.WriteCA(caFile)
	cert, key, first := ca.Issue(dir, "server", now.Add(-time.Hour), now.Add(time.Hour))
	p := process(t, map[string]string{
		"ALMANAC_SERVE_CERT": cert, "ALMANAC_SERVE_KEY": key, "ALMANAC_SERVE_CLIENT_CA": caFile, "ALMANAC_SERVE_POLICY": write(t, "p.yaml", policy), "ALMANAC_QUIET": "1ms",
	}, io.Discard)
	g, err := gate.Open(t.Context(), p, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- p.Listen(ctx, l, g.Guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) })))
	}()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	_, _, client := ca.IssueFor(dir, "c", "trainer", nil, nil, now.Add(-time.Hour), now.Add(time.Hour))
	get := func(path string, conf *tls.Config) (status int, body, server string) {
		t.Helper()
		conf.RootCAs = ca.Pool()
		transport := &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: true}
		defer transport.CloseIdleConnections()
		resp, err := (&http.Client{Transport: transport}).Get("https://" + l.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text), resp.TLS.PeerCertificates[0].SerialNumber.String()
	}
	mine := func() *tls.Config { return &tls.Config{Certificates: []tls.Certificate{client}} }
	if status, body, serial := get("/", mine()); status != 200 || body != "HTTP/2.0" || serial != first.Leaf.SerialNumber.String() {
		t.Errorf("GET / = %d %s", status, body)
	}
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/": 401, "/metrics": 401} {
		if status, _, _ := get(path, &tls.Config{}); status != want {
			t.Errorf("GET %s without a certificate = %d, want %d", path, status, want)
		}
	}
	if status, _, _ := get("/metrics", mine()); status != 403 {
		t.Errorf("GET /metrics by one who may read datasets alone = %d, want 403", status)
	}
	var old *tls.CertificateVerificationError
	if _, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: ca.Pool(), MaxVersion: tls.VersionTLS12}); err == nil || errors.As(err, &old) {
		t.Errorf("TLS 1.2 = %v, want a refusal", err)
	}
	_, _, second := ca.Issue(dir, "server", now.Add(-time.Hour), now.Add(time.Hour))
	if _, _, serial := get("/", mine()); serial != second.Leaf.SerialNumber.String() {
		t.Error("the server shows the certificate that was replaced")
	}
}
