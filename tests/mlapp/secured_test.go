package mlapp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

const (
	topic    = "almanac.fact.released"
	service  = "serve.almanac.example.org"
	mechanic = "SCRAM-SHA-512"
)

// gateway is a way to the API over TLS that asks for a certificate, a token and the name of the service.
func (w *world) gateway(t *testing.T, token string) *httptest.Server {
	t.Helper()
	to := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: w.api})
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Host != service || r.Header.Get("Authorization") != "Bearer "+token {
			http.Error(rw, `{"detail": "who are you?"}`, http.StatusUnauthorized)
			return
		}
		r.Host = w.api
		to.ServeHTTP(rw, r)
	}))
	front.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	front.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that do not trust it hang up, as they should
	front.StartTLS()
	t.Cleanup(front.Close)
	return front
}

// broker is one over TLS, at which the user mlapp may read the topic as the group mlapp, and nothing else.
func broker(t *testing.T, certificates *tls.Config, password string) (*kfake.Cluster, *kgo.Client) {
	t.Helper()
	may := func(resource kmsg.ACLResourceType, name string, operation kmsg.ACLOperation) kfake.ACL {
		return kfake.ACL{Resource: resource, Name: name, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: operation, Allow: true}
	}
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1), kfake.SeedTopics(1, topic), kfake.TLS(certificates), kfake.EnableSASL(), kfake.EnableACLs(),
		kfake.Superuser(mechanic, "almanac", "almanac"), kfake.User(mechanic, "mlapp", password,
			may(kmsg.ACLResourceTypeTopic, topic, kmsg.ACLOperationRead), may(kmsg.ACLResourceTypeTopic, topic, kmsg.ACLOperationDescribe),
			may(kmsg.ACLResourceTypeGroup, "mlapp", kmsg.ACLOperationRead)),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	writer, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.DefaultProduceTopic(topic),
		kgo.DialTLSConfig(&tls.Config{InsecureSkipVerify: true}), kgo.SASL(scram.Auth{User: "almanac", Pass: "almanac"}.AsSha512Mechanism()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(writer.Close)
	return cluster, writer
}

// file writes what the application is given as a file.
func (w *world) file(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestSecured reaches API and Kafka over TLS, by certificate, token, name and password; what is wrong with one of them ends it with words.
func TestSecured(t *testing.T) {
	w := newWorld(t)
	w.runUntil(t, "2001-03-02")
	const token, password = "let-me-in", "a password"
	front := w.gateway(t, token)
	cluster, writer := broker(t, &tls.Config{Certificates: front.TLS.Certificates}, password)
	pair := front.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate := w.file(t, "cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}))
	access := []string{
		"--api", front.URL, "--host-header", service, "--ca", certificate, "--token-file", w.file(t, "token", []byte(token+"\n")),
		"--cert", certificate, "--key", w.file(t, "key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})), "--patience", "20",
	}
	with := func(more ...string) []string { return slices.Concat(access, more) }
	kafka := func(password string, more ...string) []string {
		login := []string{"--kafka", cluster.ListenAddrs()[0], "--kafka-ca", certificate, "--kafka-user", "mlapp", "--kafka-password-file", password}
		return with(append(login, more...)...)
	}
	right, wrong := w.file(t, "password", []byte(password+"\n")), w.file(t, "wrong", []byte("wrong"))
	app := w.app(t, "secured", kafka(right)...)
	await(t, app, `training-2001-02.1 is trained on`)

	w.runUntil(t, "2001-04-02")
	data, err := json.Marshal(w.claims(t, "training-2001-03.1"))
	if err != nil {
		t.Fatal(err)
	}
	headers := []kgo.RecordHeader{
		{Key: "ce_specversion", Value: []byte("1.0")}, {Key: "ce_id", Value: []byte("one")}, {Key: "ce_source", Value: []byte("/almanac/deliver")},
		{Key: "ce_type", Value: []byte("dev.almanac.released.v1")}, {Key: "content-type", Value: []byte("application/json")},
	}
	records := []*kgo.Record{{Value: []byte("no event")}, {Headers: headers, Value: []byte(`{"dataset": 7}`)}, {Headers: headers, Value: data}}
	if err := writer.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	await(t, app, `training-2001-03.1 is trained on`)
	result := app.Stop()
	if result.Code != 0 || strings.Count(result.Out, "is passed over") != 2 {
		t.Errorf("the two records before it should be passed over: %s", result)
	}
	if got := w.report(t, "secured", "training-2001-03.1"); got.Woken["way"] != "kafka" {
		t.Errorf("the lesson was had by %v", got.Woken)
	}

	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"a wrong password":           {kafka(wrong, "--patience", "5"), 4, "SASL authentication error"},
		"a group that it may not be": {kafka(right, "--kafka-group", "other"), 4, "uthoriz"},
		"a wrong token":              {with("--once", "--out", filepath.Join(w.dir, "other"), "--token-file", wrong), 2, "who are you?"},
		"no authority":               {[]string{"--api", front.URL, "--once", "--patience", "0"}, 4, "certificate verify failed"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		ended, err := w.app(t, "secured", c.args...).Within(ctx)
		cancel()
		if err != nil || ended.Code != c.code || !strings.Contains(ended.Err, c.says) {
			t.Errorf("%s: want exit %d and %q: %v: %s", name, c.code, c.says, err, ended)
		}
	}
}
