package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// These tests use a lab that runs: make lab-check. Without -form they are skipped.
var (
	form = flag.String("form", "", "the `form` of the lab that runs: plain or secure, with -<address> if it has one")
	long = flag.Bool("long", false, "also run a job that outlives the delegation tokens, and keep the NameNode away from Spark: eight minutes")
)

// place is the env file of the lab.
type place map[string]string

func lab(t *testing.T) place {
	t.Helper()
	if *form == "" {
		t.Skip("no lab: make lab, then make lab-check")
	}
	f, err := os.Open(filepath.Join("..", "..", ".cache", "lab", *form, "env"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := place{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), "=")
		p[key] = value
	}
	return p
}

func secured(t *testing.T) place {
	t.Helper()
	p := lab(t)
	if p["LAB_FORM"] != "secure" {
		t.Skip("only the secured form refuses anyone")
	}
	return p
}

func (p place) secret(t *testing.T, key string) string {
	t.Helper()
	b, err := os.ReadFile(p[key])
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func (p place) tls(t *testing.T) *tls.Config {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(p.secret(t, "KAFKA_CA")))
	return &tls.Config{RootCAs: pool, ServerName: p["LAB_HOST"], MinVersion: tls.VersionTLS12}
}

// kafka is a client with the settings, closed with the test.
func kafka(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.RecordDeliveryTimeout(20*time.Second), kgo.RequestRetries(2))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// scram is a client that logs in as <who>_USER.
func (p place) scram(t *testing.T, who string, more ...kgo.Opt) *kgo.Client {
	t.Helper()
	auth := scram.Auth{User: p[who+"_USER"], Pass: p.secret(t, who+"_PASSWORD_FILE")}
	return kafka(t, append(more, kgo.SeedBrokers(p["KAFKA_SCRAM"]), kgo.DialTLSConfig(p.tls(t)), kgo.SASL(auth.AsSha512Mechanism()))...)
}

func (p place) mtls(t *testing.T, cert, key string, more ...kgo.Opt) *kgo.Client {
	t.Helper()
	conf := p.tls(t)
	pair, err := tls.LoadX509KeyPair(p[cert], p[key])
	if err != nil {
		t.Fatal(err)
	}
	conf.Certificates = []tls.Certificate{pair}
	return kafka(t, append(more, kgo.SeedBrokers(p["KAFKA_MTLS"]), kgo.DialTLSConfig(conf))...)
}

// round makes a topic, writes one record, and reads it again from its start.
func round(t *testing.T, writer, reader *kgo.Client) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	topic := fmt.Sprintf("almanac.lab.%d", time.Now().UnixNano())
	admin := kadm.NewClient(writer)
	if _, err := admin.CreateTopic(ctx, 1, 1, nil, topic); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	defer func() { _, _ = admin.DeleteTopics(ctx, topic) }()
	want := "one row of many"
	if err := writer.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(want)}).FirstErr(); err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	reader.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}})
	fetches := reader.PollFetches(ctx)
	if err := fetches.Err(); err != nil {
		return fmt.Errorf("consume: %w", err)
	}
	if got := string(fetches.Records()[0].Value); got != want {
		return fmt.Errorf("read %q, want %q", got, want)
	}
	return nil
}

func TestKafkaOverSCRAMAndMTLS(t *testing.T) {
	p := lab(t)
	if err := round(t, p.scram(t, "KAFKA_SCRAM"), p.mtls(t, "KAFKA_CERT", "KAFKA_KEY")); err != nil {
		t.Error(err)
	}
	if p["KAFKA_PLAIN"] == "" {
		return
	}
	plain := kafka(t, kgo.SeedBrokers(p["KAFKA_PLAIN"]))
	if err := round(t, plain, p.scram(t, "KAFKA_SCRAM")); err != nil {
		t.Errorf("plain: %v", err)
	}
}

func TestKafkaRefuses(t *testing.T) {
	p := secured(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for name, client := range map[string]*kgo.Client{
		"a stranger with a password":    p.scram(t, "KAFKA_SCRAM_STRANGER"),
		"a stranger with a certificate": p.mtls(t, "KAFKA_STRANGER_CERT", "KAFKA_STRANGER_KEY"),
	} {
		_, err := kadm.NewClient(client).CreateTopic(ctx, 1, 1, nil, "almanac.lab.stranger")
		if !errors.Is(err, kerr.TopicAuthorizationFailed) && !errors.Is(err, kerr.ClusterAuthorizationFailed) {
			t.Errorf("%s: CreateTopic = %v, want an authorization error", name, err)
		}
	}
	_, err := kadm.NewClient(p.scram(t, "KAFKA_SCRAM")).CreateTopic(ctx, 1, 1, nil, "other.topic")
	if !errors.Is(err, kerr.TopicAuthorizationFailed) {
		t.Errorf("almanac outside its prefix: CreateTopic = %v, want TOPIC_AUTHORIZATION_FAILED", err)
	}
	wrong := scram.Auth{User: "almanac", Pass: "wrong"}
	client := kafka(t, kgo.SeedBrokers(p["KAFKA_SCRAM"]), kgo.DialTLSConfig(p.tls(t)), kgo.SASL(wrong.AsSha512Mechanism()))
	if err := client.Ping(ctx); !errors.Is(err, kerr.SaslAuthenticationFailed) {
		t.Errorf("a wrong password: Ping = %v, want SASL_AUTHENTICATION_FAILED", err)
	}
	if err := kafka(t, kgo.SeedBrokers(p["KAFKA_MTLS"]), kgo.DialTLSConfig(p.tls(t))).Ping(ctx); err == nil {
		t.Error("no certificate: Ping = nil, want an error")
	}
	old := p.tls(t)
	old.MaxVersion = tls.VersionTLS12
	if conn, err := tls.Dial("tcp", p["KAFKA_SCRAM"], old); err == nil {
		_ = conn.Close()
		t.Error("TLS 1.2 was accepted")
	}
}

// curl asks a web listener of Hadoop, in the secured form with the keytab <who>_KEYTAB, and gives the status and the body.
func (p place) curl(t *testing.T, who string, args ...string) (status, body string) {
	t.Helper()
	line := []string{"-sS", "-L", "--max-time", "30", "-w", "\n%{http_code}"}
	cmd := exec.Command("curl")
	if p["LAB_FORM"] == "secure" {
		line = append(line, "--cacert", p["CA"])
	}
	if who != "" && p["LAB_FORM"] == "secure" {
		line = append(line, "--negotiate", "-u", ":")
		cmd.Env = append(os.Environ(), "KRB5_CONFIG="+p["KRB5_CONFIG"], "KRB5CCNAME=FILE:"+filepath.Join(t.TempDir(), "cc"),
			"KRB5_CLIENT_KTNAME=FILE:"+p[who+"_KEYTAB"])
	}
	cmd.Args = append(append(cmd.Args, line...), args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("curl: %v\n%s", err, out)
	}
	text := strings.TrimSpace(string(out))
	i := strings.LastIndexByte(text, '\n')
	return text[i+1:], strings.TrimSpace(text[:max(i, 0)])
}

func TestWebHDFSWritesAndReads(t *testing.T) {
	p := lab(t)
	file := filepath.Join(t.TempDir(), "f")
	want := strings.Repeat("a row\n", 100_000)
	if err := os.WriteFile(file, []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
	user := "&user.name=almanac"
	if p["LAB_FORM"] == "secure" {
		user = ""
	}
	path := p["WEBHDFS_URL"] + fmt.Sprintf("/user/almanac/%d", time.Now().UnixNano())
	if status, body := p.curl(t, "HDFS", "-X", "PUT", "-T", file, path+"?op=CREATE"+user); status != "201" {
		t.Fatalf("CREATE: %s %s, want 201", status, body)
	}
	status, body := p.curl(t, "HDFS", path+"?op=OPEN"+user)
	if status != "200" || body != strings.TrimSpace(want) {
		t.Errorf("OPEN: %s and %d bytes, want 200 and %d", status, len(body), len(want)-1)
	}
	if status, _ := p.curl(t, "HDFS", "-X", "DELETE", path+"?op=DELETE"+user); status != "200" {
		t.Errorf("DELETE: %s, want 200", status)
	}
}

func TestHadoopRefuses(t *testing.T) {
	p := secured(t)
	for _, url := range []string{
		p["WEBHDFS_URL"] + "/?op=LISTSTATUS", p["DATANODE1_URL"] + "/jmx", p["YARN_RESOURCEMANAGER_URL"] + "/ws/v1/cluster/info",
		p["YARN_NODEMANAGER_URL"] + "/ws/v1/node/info",
	} {
		if status, _ := p.curl(t, "", url); status != "401" {
			t.Errorf("nobody at %s: %s, want 401", url, status)
		}
	}
	if status, body := p.curl(t, "HDFS_STRANGER", p["WEBHDFS_URL"]+"/almanac?op=LISTSTATUS"); status != "403" {
		t.Errorf("a stranger in the warehouse: %s %s, want 403", status, body)
	}
}
