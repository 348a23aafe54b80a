package access_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/almanac-data/almanac/functions/internal/certs"
	"github.com/almanac-data/almanac/functions/internal/certs/certstest"
	"github.com/almanac-data/almanac/functions/internal/identity"
	"github.com/almanac-data/almanac/functions/internal/oidc"
	"github.com/almanac-data/almanac/functions/internal/oidc/oidctest"
	"github.com/almanac-data/almanac/functions/internal/problem"
	"github.com/almanac-data/almanac/functions/internal/serve/access"
	"github.com/almanac-data/almanac/functions/internal/serve/policy"
)

// safe takes what is written while a test reads it.
type safe struct {
	mu  sync.Mutex
	buf bytes.Buffer
	err error
}

func (s *safe) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	return s.buf.Write(p)
}

func (s *safe) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *safe) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// lines reads the audit trail.
func (s *safe) lines(t *testing.T) []access.Line {
	t.Helper()
	var all []access.Line
	for text := range strings.Lines(s.text()) {
		var l access.Line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		all = append(all, l)
	}
	return all
}

const policyText = `
readers:
  - subject: mlapp
    datasets: [flights]
  - group: research
    datasets: ["*"]
  - certificate: trainer.example.org
    datasets: [births, flights]
  - certificate: spiffe://example.org/trainer
    datasets: [births]
  - subject: prometheus
    metrics: true
`

type fixed struct{ rules *policy.Policy }

func (f fixed) Read() (*policy.Policy, error) { return f.rules, nil }

// site is a gate before a handler that hands out 7 bytes of flights.
type site struct {
	gate       *access.Gate
	audit, log safe
	server     *httptest.Server
}

func newSite(t *testing.T, gate *access.Gate, conf *tls.Config) *site {
	t.Helper()
	rules, err := policy.Parse("policy.yaml", []byte(policyText))
	if err != nil {
		t.Fatal(err)
	}
	s := &site{gate: gate}
	gate.Policy, gate.Trail, gate.Now = fixed{rules}, access.NewTrail("", &s.audit), time.Now
	gate.Log = slog.New(slog.NewJSONHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	mux := http.NewServeMux()
	mux.Handle("/metrics", gate.Metrics(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "metrics") })))
	mux.Handle("/", gate.Guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !access.May(r.Context(), "flights") {
			http.NotFound(w, r)
			return
		}
		access.Download(r.Context(), "flights", "training-2001-01.1", "file", "abc")
		w.Header().Set("Cache-Control", "public, max-age=1")
		_, _ = io.WriteString(w, "flights")
	})))
	s.server = httptest.NewUnstartedServer(mux)
	s.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	if s.server.TLS = conf; conf != nil {
		s.server.StartTLS()
	} else {
		s.server.Start()
	}
	t.Cleanup(s.server.Close)
	return s
}

func tokens(t *testing.T, issuer *oidctest.Issuer) *oidc.Verifier {
	t.Helper()
	v, err := oidc.Open(t.Context(), oidc.Config{Issuer: issuer.URL, Audience: oidctest.Audience, Groups: "groups"}, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

func (s *site) get(t *testing.T, client *http.Client, path string, authorization ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range authorization {
		r.Header.Add("Authorization", a)
	}
	r.Header.Set("X-Request-ID", "r1")
	r.Header.Set("X-Forwarded-For", "192.0.2.1")
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// refused checks that a request got a problem, and that the audit trail has its line.
func (s *site) refused(t *testing.T, resp *http.Response, body string, status int, says string) {
	t.Helper()
	var p problem.Error
	if err := json.Unmarshal([]byte(body), &p); err != nil || resp.Header.Get("Content-Type") != "application/problem+json" {
		t.Fatalf("%d %s is no problem: %v", resp.StatusCode, body, err)
	}
	if resp.StatusCode != status || p.Status != status || !strings.Contains(p.Detail, says) || !strings.Contains(resp.Header.Get("Cache-Control"), "no-store") {
		t.Errorf("%d %+v %s, want %d with %q", resp.StatusCode, p, resp.Header.Get("Cache-Control"), status, says)
	}
	var last access.Line
	for began := time.Now(); last.Status == 0 && time.Since(began) < 10*time.Second; time.Sleep(time.Millisecond) { // it is written after the answer
		if all := s.audit.lines(t); len(all) > 0 {
			last = all[len(all)-1]
		}
	}
	if last.Event != "refusal" || last.Status != status || last.Reason != p.Detail || !last.Audit || last.From != "127.0.0.1" || last.Request != "r1" || last.Forwarded != "192.0.2.1" {
		t.Errorf("audit line %+v, want the refusal %d %q", last, status, p.Detail)
	}
}

func TestTokensThatAreRefused(t *testing.T) {
	issuer, stranger := oidctest.New(t), oidctest.New(t)
	now := time.Now()
	for name, c := range map[string]struct {
		authorization []string
		status        int
		challenge     string // what WWW-Authenticate holds
		says          string
	}{
		"no token":              {nil, 401, `Bearer realm="almanac"`, "Authorization: Bearer"},
		"a password":            {[]string{"Basic bWU6c2VjcmV0"}, 401, `Bearer realm="almanac"`, "Authorization: Bearer"},
		"two tokens":            {[]string{"Bearer a", "Bearer b"}, 400, `error="invalid_request"`, "give it once"},
		"a malformed token":     {[]string{"Bearer let-me-in"}, 401, `error="invalid_token"`, "no JSON Web Token"},
		"an expired token":      {[]string{"Bearer " + issuer.Token("mlapp", map[string]any{"exp": now.Add(-time.Hour).Unix()})}, 401, `error="invalid_token", error_description="the token has expired"`, "expired"},
		"a token of tomorrow":   {[]string{"Bearer " + issuer.Token("mlapp", map[string]any{"nbf": now.Add(time.Hour).Unix()})}, 401, `error="invalid_token"`, "not valid yet"},
		"another issuer":        {[]string{"Bearer " + issuer.Token("mlapp", map[string]any{"iss": "https://x.example"})}, 401, `error="invalid_token"`, "another issuer"},
		"another audience":      {[]string{"Bearer " + issuer.Token("mlapp", map[string]any{"aud": "x"})}, 401, `error="invalid_token"`, "another audience"},
		"an unknown key":        {[]string{"Bearer " + stranger.Token("mlapp", map[string]any{"iss": issuer.URL})}, 401, `error="invalid_token"`, "does not publish"},
		"one without any right": {[]string{"Bearer " + issuer.Token("nobody", nil)}, 403, `error="insufficient_scope"`, "grants you nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, &access.Gate{Tokens: tokens(t, issuer)}, nil)
			resp, body := s.get(t, http.DefaultClient, "/", c.authorization...)
			s.refused(t, resp, body, c.status, c.says)
			if got := resp.Header.Get("WWW-Authenticate"); !strings.Contains(got, c.challenge) || c.status == 401 && len(c.authorization) == 0 && strings.Contains(got, "error") {
				t.Errorf("WWW-Authenticate: %s, want %s", got, c.challenge)
			}
			for _, a := range c.authorization {
				for part := range strings.SplitSeq(strings.TrimPrefix(a, "Bearer "), ".") {
					if len(part) > 8 && strings.Contains(s.audit.text()+s.log.text()+body+resp.Header.Get("WWW-Authenticate"), part) {
						t.Errorf("a part of the credential is told: %s", part)
					}
				}
			}
		})
	}
}

func TestADownloadIsAudited(t *testing.T) {
	issuer := oidctest.New(t)
	s := newSite(t, &access.Gate{Tokens: tokens(t, issuer)}, nil)
	token := issuer.Token("mlapp", map[string]any{"email": "a.person@example.org", "name": "A Person"})
	resp, body := s.get(t, http.DefaultClient, "/v1/x", "bearer "+token)
	if resp.StatusCode != http.StatusOK || body != "flights" || resp.Header.Get("Cache-Control") != "private, max-age=1" {
		t.Fatalf("GET = %d %s, Cache-Control %s", resp.StatusCode, body, resp.Header.Get("Cache-Control"))
	}
	s.server.Close() // waits for the line
	lines := s.audit.lines(t)
	if len(lines) != 1 {
		t.Fatalf("audit trail = %s, want one line", s.audit.text())
	}
	got := lines[0]
	if time.Since(got.Time) > time.Minute {
		t.Errorf("time = %s", got.Time)
	}
	got.Time, got.Millis = time.Time{}, 0
	want := access.Line{
		Audit: true, Event: "download", Credential: "token", Issuer: issuer.URL, Subject: "mlapp", Method: "GET", Path: "/v1/x", Dataset: "flights",
		Release: "training-2001-01.1", What: "file", SHA256: "abc", Status: 200, Bytes: 7, Whole: true, From: "127.0.0.1", Forwarded: "192.0.2.1", Request: "r1",
	}
	if got != want {
		t.Errorf("audit line\n%+v, want\n%+v", got, want)
	}
	for part := range strings.SplitSeq(token, ".") {
		if strings.Contains(s.audit.text()+s.log.text(), part) {
			t.Error("a part of the token is logged")
		}
	}
	if strings.Contains(s.audit.text(), "erson") {
		t.Error("more of a person than the subject is logged")
	}
}

type judge func(token string) (identity.Identity, error)

func (j judge) Verify(_ context.Context, token string) (identity.Identity, error) { return j(token) }

func TestAnIssuerThatIsAway(t *testing.T) {
	s := newSite(t, &access.Gate{Tokens: judge(func(string) (identity.Identity, error) {
		return identity.Identity{}, errors.Join(identity.ErrAway, errors.New("dial 10.0.0.7: refused"))
	})}, nil)
	resp, body := s.get(t, http.DefaultClient, "/", "Bearer x")
	s.refused(t, resp, body, 503, "issuer of tokens does not answer")
	if resp.Header.Get("Retry-After") == "" || strings.Contains(body, "10.0.0.7") || !strings.Contains(s.log.text(), "10.0.0.7") {
		t.Errorf("Retry-After %q, %s, log %s: want the reason in the log alone", resp.Header.Get("Retry-After"), body, s.log.text())
	}
}

func TestMetricsAreForThoseWhoMay(t *testing.T) {
	issuer := oidctest.New(t)
	s := newSite(t, &access.Gate{Tokens: tokens(t, issuer)}, nil)
	resp, body := s.get(t, http.DefaultClient, "/metrics", "Bearer "+issuer.Token("mlapp", nil))
	s.refused(t, resp, body, 403, "metrics: true")
	if resp, body := s.get(t, http.DefaultClient, "/metrics", "Bearer "+issuer.Token("prometheus", nil)); resp.StatusCode != http.StatusOK || body != "metrics" {
		t.Errorf("GET /metrics = %d %s", resp.StatusCode, body)
	}
	if resp, _ := s.get(t, http.DefaultClient, "/metrics"); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("GET /metrics without a token = %d, want 401", resp.StatusCode)
	}
}

func TestACallerMayHaveSoManyRequestsAtOnce(t *testing.T) {
	issuer := oidctest.New(t)
	gate := &access.Gate{Tokens: tokens(t, issuer), PerCaller: 1}
	s := newSite(t, gate, nil)
	entered, leave := make(chan struct{}), make(chan struct{})
	slow := gate.Guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { entered <- struct{}{}; <-leave }))
	var first sync.WaitGroup
	first.Go(func() {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", "Bearer "+issuer.Token("mlapp", nil))
		slow.ServeHTTP(httptest.NewRecorder(), r)
	})
	<-entered
	resp, body := s.get(t, http.DefaultClient, "/", "Bearer "+issuer.Token("mlapp", nil))
	s.refused(t, resp, body, 429, "1 requests under way")
	if resp, _ := s.get(t, http.DefaultClient, "/", "Bearer "+issuer.Token("x", map[string]any{"groups": "research"})); resp.StatusCode != http.StatusOK {
		t.Errorf("another caller = %d, want 200", resp.StatusCode)
	}
	close(leave)
	first.Wait()
	if resp, _ := s.get(t, http.DefaultClient, "/", "Bearer "+issuer.Token("mlapp", nil)); resp.StatusCode != http.StatusOK {
		t.Errorf("once the first has ended = %d, want 200", resp.StatusCode)
	}
}

func TestNothingIsHandedOutWithoutATrail(t *testing.T) {
	issuer := oidctest.New(t)
	s := newSite(t, &access.Gate{Tokens: tokens(t, issuer)}, nil)
	token := "Bearer " + issuer.Token("mlapp", nil)
	s.audit.fail(errors.New("disk full"))
	if resp, _ := s.get(t, http.DefaultClient, "/", token); resp.StatusCode != http.StatusOK {
		t.Fatalf("the download whose line fails = %d", resp.StatusCode)
	}
	for began := time.Now(); s.gate.Trail.Ready(t.Context()) == nil; time.Sleep(time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			t.Fatal("the trail is ready while its disk is full")
		}
	}
	if resp, body := s.get(t, http.DefaultClient, "/", token); resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "audit") {
		t.Errorf("the next = %d %s, want 503", resp.StatusCode, body)
	}
	s.audit.fail(nil)
	if resp, _ := s.get(t, http.DefaultClient, "/", token); resp.StatusCode != http.StatusOK {
		t.Errorf("once there is room = %d", resp.StatusCode)
	}
	s.server.Close()
	var events []string
	for _, l := range s.audit.lines(t) {
		events = append(events, l.Event)
	}
	if got := strings.Join(events, " "); got != "download download" {
		t.Errorf("audit trail = %s, want no line of a download lost, and none more", got)
	}
}

func TestTheTrailInAFileMayBeMovedAway(t *testing.T) {
	name := filepath.Join(t.TempDir(), "audit.jsonl")
	trail := access.NewTrail(name, nil)
	if err := trail.Try(); err != nil {
		t.Fatal(err)
	}
	gate := &access.Gate{Trail: trail, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	h := gate.Guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		access.Download(r.Context(), "flights", "v", "rows", "")
		_, _ = io.WriteString(w, "x")
	}))
	for range 2 {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "http://127.0.0.1/", nil))
		text, err := os.ReadFile(name)
		if err != nil || strings.Count(string(text), "\n") != 1 || !strings.Contains(string(text), `"event":"download"`) {
			t.Errorf("%s, %v, want one line", text, err)
		}
		if err := os.Rename(name, name+".1"); err != nil {
			t.Fatal(err)
		}
	}
	if err := access.NewTrail(filepath.Join(name, "x"), nil).Try(); err == nil {
		t.Error("a file in a folder that is not there can be written")
	}
}

func TestAnAnswerThatIsCutOffIsNotWhole(t *testing.T) {
	var audit safe
	gate := &access.Gate{Trail: access.NewTrail("", &audit), Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	h := gate.Guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		access.Download(r.Context(), "flights", "v", "rows", "")
		_, _ = io.WriteString(w, "xy")
		panic(http.ErrAbortHandler)
	}))
	func() {
		defer func() { _ = recover() }()
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "http://127.0.0.1/", nil))
	}()
	if got := audit.lines(t); len(got) != 1 || got[0].Whole || got[0].Bytes != 2 || got[0].Status != 200 {
		t.Errorf("audit trail = %s, want 2 bytes, not whole", audit.text())
	}
}

func TestAGateThatAsksNobodyIsForThisMachine(t *testing.T) {
	s := newSite(t, &access.Gate{}, nil)
	if resp, body := s.get(t, http.DefaultClient, "/"); resp.StatusCode != http.StatusOK || body != "flights" || resp.Header.Get("Cache-Control") != "public, max-age=1" {
		t.Errorf("GET = %d %s", resp.StatusCode, body)
	}
	refused := 0
	for host, want := range map[string]int{"evil.example": 421, "127.0.0.1.evil.example": 421, "localhost": 200, "localhost:80": 200, "[::1]:80": 200, "127.0.0.2": 200, "192.0.2.1": 421} {
		for _, path := range []string{"/", "/metrics"} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.server.URL+path, nil)
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
				t.Errorf("%s of host %s = %d, want %d", path, host, resp.StatusCode, want)
			}
			if want != http.StatusOK {
				refused++
			}
		}
	}
	s.server.Close() // waits until every line is written
	for _, l := range s.audit.lines(t) {
		if l.Event == "refusal" && l.Status == http.StatusMisdirectedRequest && strings.Contains(l.Reason, "localhost only") {
			refused--
		}
	}
	if refused != 0 {
		t.Errorf("%d refusals are not in the audit trail", refused)
	}
}

func TestCertificates(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	ca, other := certstest.NewAuthority(t, "clients"), certstest.NewAuthority(t, "others")
	ca.WriteCA(filepath.Join(dir, "ca.crt"))
	_, _, server := ca.Issue(dir, "server", now.Add(-time.Hour), now.Add(time.Hour))
	spiffe, err := url.Parse("spiffe://example.org/trainer")
	if err != nil {
		t.Fatal(err)
	}
	valid := func(a *certstest.Authority, cn string, dns ...string) *tls.Certificate {
		_, _, pair := a.IssueFor(dir, "c", cn, dns, nil, now.Add(-time.Hour), now.Add(time.Hour))
		return &pair
	}
	between := func(from, to time.Duration) *tls.Certificate {
		_, _, pair := ca.IssueFor(dir, "c", "x", []string{"trainer.example.org"}, nil, now.Add(from), now.Add(to))
		return &pair
	}
	_, _, uri := ca.IssueFor(dir, "u", "x", nil, []*url.URL{spiffe}, now.Add(-time.Hour), now.Add(time.Hour))
	onlyServer := ca.IssueServer(dir, "s", []string{"trainer.example.org"}, now.Add(-time.Hour), now.Add(time.Hour))
	for name, c := range map[string]struct {
		cert   *tls.Certificate
		status int
		says   string // of the problem, or the subject in the audit trail
	}{
		"a DNS name":                        {valid(ca, "x", "trainer.example.org"), 200, "trainer.example.org"},
		"a common name":                     {valid(ca, "trainer.example.org"), 200, "trainer.example.org"},
		"a URI without right to flights":    {&uri, 404, "spiffe://example.org/trainer"},
		"a common name beside another name": {valid(ca, "trainer.example.org", "x.example.org"), 403, "grants you nothing"},
		"none":                              {nil, 401, "show a client certificate"},
		"one of another authority":          {valid(other, "x", "trainer.example.org"), 401, "not trusted"},
		"an expired one":                    {between(-2*time.Hour, -time.Hour), 401, "expired at"},
		"one of tomorrow":                   {between(time.Hour, 2*time.Hour), 401, "is not valid before"},
		"one for servers":                   {&onlyServer, 401, "not one for clients"},
		"one without a name":                {valid(ca, ""), 401, "has no name"},
		"a name without rights":             {valid(ca, "mlapp"), 403, "grants you nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			peers := &certs.Clients{Authorities: &certs.Authorities{File: filepath.Join(dir, "ca.crt")}, Now: time.Now}
			s := newSite(t, &access.Gate{Peers: peers}, &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{server}, ClientAuth: tls.RequestClientCert})
			conf := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: ca.Pool()}
			if c.cert != nil {
				conf.Certificates = []tls.Certificate{*c.cert}
			}
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: conf}}
			defer client.CloseIdleConnections()
			resp, body := s.get(t, client, "/")
			if c.status >= 400 && c.status != 404 {
				s.refused(t, resp, body, c.status, c.says)
				if got := resp.Header.Get("WWW-Authenticate"); c.status == 401 && got != `ClientCertificate realm="almanac"` {
					t.Errorf("WWW-Authenticate: %s", got)
				}
				return
			}
			client.CloseIdleConnections()
			s.server.Close()
			line := s.audit.lines(t)[0]
			if resp.StatusCode != c.status || line.Credential != "certificate" || line.Subject != c.says || line.Issuer != "CN=clients" || (line.Event == "download") != (c.status == 200) {
				t.Errorf("GET = %d %s, audit line %+v", resp.StatusCode, body, line)
			}
			if resp.Header.Get("Strict-Transport-Security") == "" {
				t.Error("a browser may come back by plain HTTP")
			}
		})
	}
}

func TestATokenGoesBeforeACertificate(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	ca, issuer := certstest.NewAuthority(t, "clients"), oidctest.New(t)
	ca.WriteCA(filepath.Join(dir, "ca.crt"))
	_, _, pair := ca.IssueFor(dir, "c", "trainer.example.org", nil, nil, now.Add(-time.Hour), now.Add(time.Hour))
	_, _, server := ca.Issue(dir, "server", now.Add(-time.Hour), now.Add(time.Hour))
	peers := &certs.Clients{Authorities: &certs.Authorities{File: filepath.Join(dir, "ca.crt")}, Now: time.Now}
	s := newSite(t, &access.Gate{Peers: peers, Tokens: tokens(t, issuer)}, &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{server}, ClientAuth: tls.RequestClientCert})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: ca.Pool(), Certificates: []tls.Certificate{pair}}}}
	defer client.CloseIdleConnections()
	for name, c := range map[string]struct {
		authorization []string
		status        int
	}{
		"the certificate alone": {nil, 200}, "a token besides": {[]string{"Bearer " + issuer.Token("mlapp", nil)}, 200},
		"a token that is refused": {[]string{"Bearer x"}, 401}, "a token without rights": {[]string{"Bearer " + issuer.Token("nobody", nil)}, 403},
	} {
		if resp, body := s.get(t, client, "/", c.authorization...); resp.StatusCode != c.status {
			t.Errorf("%s = %d %s, want %d", name, resp.StatusCode, body, c.status)
		}
	}
	resp, _ := s.get(t, &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: ca.Pool()}}}, "/")
	if got := resp.Header.Values("WWW-Authenticate"); len(got) != 2 {
		t.Errorf("WWW-Authenticate: %q, want both ways", got)
	}
}

func TestACertificateIsRefusedOnceItsAuthorityIsReplaced(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	ca := certstest.NewAuthority(t, "clients")
	file := filepath.Join(dir, "ca.crt")
	ca.WriteCA(file)
	_, _, pair := ca.IssueFor(dir, "c", "trainer.example.org", nil, nil, now.Add(-time.Hour), now.Add(time.Hour))
	peers := &certs.Clients{Authorities: &certs.Authorities{File: file}, Now: time.Now}
	open := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{pair.Leaf}}
	if who, err := peers.Identify(open); err != nil || who.Subject != "trainer.example.org" {
		t.Fatalf("Identify = %v, %v", who, err)
	}
	certstest.NewAuthority(t, "next").WriteCA(file)
	if who, err := peers.Identify(open); err == nil {
		t.Errorf("Identify on a connection that was open before = %v, want a refusal", who)
	}
}
