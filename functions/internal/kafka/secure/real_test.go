package secure_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/almanac-data/almanac/functions/internal/certs/certstest"
	"github.com/almanac-data/almanac/functions/internal/kafka"
	"github.com/almanac-data/almanac/functions/internal/kafka/kafkatest"
	"github.com/almanac-data/almanac/functions/internal/kafka/link"
	"github.com/almanac-data/almanac/functions/internal/kafka/secure"
)

// TestAnExpiredCertificateOfAClientOnARealBroker shows one that the lab's authority signed and that ended before the lab began.
func TestAnExpiredCertificateOfAClientOnARealBroker(t *testing.T) {
	lab := kafkatest.Need(t, true)
	if _, err := os.Stat(lab["KAFKA_EXPIRED_CERT"]); err != nil {
		t.Skip("the lab is older than its expired certificate: make lab-down SECURE=1, remove .cache/lab/secure, start it again")
	}
	cfg := lab.Config()
	cfg.Brokers = []string{lab["KAFKA_MTLS"]}
	cfg.Access = secure.Access{CA: lab["KAFKA_CA"], Cert: lab["KAFKA_EXPIRED_CERT"], Key: lab["KAFKA_EXPIRED_KEY"]}
	began := time.Now()
	_, err := link.Open(t.Context(), cfg)
	told(t, "by the clock", began, err, `the certificate of "expired"`, "expired at", "ALMANAC_KAFKA_CERT")
	// With a clock that is late the client does not see it, and the broker says so.
	leaf := certificate(t, lab["KAFKA_EXPIRED_CERT"])
	cfg.Access.Now = func() time.Time { return leaf.NotAfter.Add(-time.Minute) }
	began = time.Now()
	_, err = link.Open(t.Context(), cfg)
	told(t, "by the broker", began, err, "the broker refuses the certificate of this client", "ALMANAC_KAFKA_CERT")
}

// told wants an error that says each part, soon, and of which it is said that waiting does not help.
func told(t *testing.T, what string, began time.Time, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v, want it to say %q", what, err, part)
		}
	}
	if kafka.Passing(err) {
		t.Errorf("%s: %v, of which it is said that waiting helps", what, err)
	}
	if took := time.Since(began); took > 6*time.Second {
		t.Errorf("%s: it took %s to say so", what, took)
	}
}

func certificate(t *testing.T, file string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := pem.Decode(text)
	if b == nil {
		t.Fatalf("%s holds no certificate", file)
	}
	cert, err := x509.ParseCertificate(b.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// keyStore is the setting of the listener for SCRAM that names its key store; the broker reads it again when it is set.
const keyStore = "listener.name.scram.ssl.keystore.location"

// TestACertificateOfARealBrokerExpiresAndIsRenewed changes the key store of a listener while a client is connected.
func TestACertificateOfARealBrokerExpiresAndIsRenewed(t *testing.T) {
	lab := kafkatest.Need(t, false)
	dir := t.TempDir()
	ca := certstest.NewAuthority(t, "brokers' authority")
	ours := filepath.Join(dir, "ca.crt")
	// The client trusts the lab's authority and the test's.
	text, err := os.ReadFile(lab["KAFKA_CA"])
	if err != nil {
		t.Fatal(err)
	}
	ca.WriteCA(ours)
	more, err := os.ReadFile(ours)
	if err != nil {
		t.Fatal(err)
	}
	put(t, ours, string(text)+string(more))

	// The administrator comes by the other listener, whose certificate stays.
	admin := lab.Config()
	admin.Brokers = []string{lab["KAFKA_MTLS"]}
	admin.Access = secure.Access{CA: lab["KAFKA_CA"], Cert: lab["KAFKA_ADMIN_CERT"], Key: lab["KAFKA_ADMIN_KEY"]}
	boss := kafkatest.Open(t, admin)
	t.Cleanup(func() { set(context.Background(), t, boss, kadm.AlterConfig{Op: kadm.DeleteConfig, Name: keyStore}) })
	like := certificate(t, filepath.Join(lab["LAB_ROOT"], "keys", "broker.crt"))
	show := func(name string, from, to time.Time) {
		cert, key, _ := ca.Like(dir, name, like, from, to)
		store := filepath.Join(dir, name+".pem")
		var all []byte
		for _, file := range []string{key, cert} {
			part, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, part...)
		}
		put(t, store, string(all))
		set(t.Context(), t, boss, kadm.AlterConfig{Op: kadm.SetConfig, Name: keyStore, Value: &store})
	}

	cfg := lab.Config()
	cfg.Brokers, cfg.Access.CA = []string{lab["KAFKA_SCRAM"]}, ours
	c := kafkatest.Open(t, cfg)
	open := func() error {
		_, err := c.Facts.Broker(1).Request(t.Context(), kmsg.NewPtrMetadataRequest())
		return err
	}
	if err := open(); err != nil {
		t.Fatal(err)
	}
	show("expired", hourAgo, hourAgo.Add(time.Minute))
	// The broker's threads read the store one after the other.
	refused := 0
	until(t, "the expired certificate is refused", func() bool {
		if refused++; ask(t, c) == nil {
			refused = 0
		}
		return refused == 3
	})
	began := time.Now()
	told(t, "ask", began, ask(t, c), "valid from", "renew it", "clock")
	_, err = link.Open(t.Context(), cfg)
	told(t, "open", began, err, "valid from", "renew it", "clock")
	if err := open(); err != nil {
		t.Errorf("the connection from before does not go on: %v", err)
	}
	show("renewed", hourAgo, inAnHour)
	until(t, "the renewed certificate is taken", func() bool { return ask(t, c) == nil })
	until(t, "a new client opens", func() bool {
		again, err := link.Open(t.Context(), cfg)
		if err == nil {
			again.Close()
		}
		return err == nil
	})
}

// set alters a setting of the lab's only broker.
func set(ctx context.Context, t *testing.T, c *link.Cluster, what kadm.AlterConfig) {
	t.Helper()
	done, err := c.Admin.AlterBrokerConfigs(ctx, []kadm.AlterConfig{what}, 1)
	for _, d := range done {
		if d.Err != nil {
			t.Fatalf("%s: %v %s", what.Name, d.Err, d.ErrMessage)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}
