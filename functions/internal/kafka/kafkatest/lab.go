// Package kafkatest reaches the real Kafka of the lab for tests: ALMANAC_TEST_LAB names the env file that make lab writes.
package kafkatest

import (
	"bufio"
	"crypto/rand"
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/almanac-data/almanac/functions/internal/kafka/link"
	"github.com/almanac-data/almanac/functions/internal/kafka/secure"

	"github.com/almanac-data/almanac/functions/internal/certs/certstest"
)

// Lab is the env file of a lab that runs.
type Lab map[string]string

// Running returns the lab, or nil if the tests are not to use one.
func Running(tb testing.TB) Lab {
	tb.Helper()
	name := os.Getenv("ALMANAC_TEST_LAB")
	if name == "" {
		return nil
	}
	f, err := os.Open(name) //nolint:gosec // the tester names it
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = f.Close() }() // it is only read
	l := Lab{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), "=")
		l[key] = value
	}
	return l
}

// Need skips the test where no lab runs, or where one without access rules does and they are asked for.
func Need(tb testing.TB, secured bool) Lab {
	tb.Helper()
	l := Running(tb)
	if l == nil {
		tb.Skip("needs a real Kafka: make lab ONLY=kafka SECURE=1, then ALMANAC_TEST_LAB=…/.cache/lab/secure/env")
	}
	if secured && l["LAB_FORM"] != "secure" {
		tb.Skip("only the secured form refuses anyone")
	}
	return l
}

// Config reaches the cluster as almanac does, by SCRAM.
func (l Lab) Config() link.Config {
	return link.Config{
		Brokers: strings.Split(l["ALMANAC_KAFKA"], ","),
		Access:  secure.Access{CA: l["ALMANAC_KAFKA_CA"], User: l["ALMANAC_KAFKA_USER"], PasswordFile: l["ALMANAC_KAFKA_PASSWORD_FILE"]},
		Now:     time.Now,
	}
}

// AdminConfig reaches it as the superuser.
func (l Lab) AdminConfig() link.Config {
	cfg := l.Config()
	cfg.Access.User, cfg.Access.PasswordFile = l["KAFKA_SCRAM_ADMIN_USER"], l["KAFKA_SCRAM_ADMIN_PASSWORD_FILE"]
	return cfg
}

// Secured is the lab in its secured form, if it runs, or a broker in memory with TLS, users and access rules.
func Secured(tb testing.TB) Lab {
	tb.Helper()
	if l := Running(tb); l != nil {
		return Need(tb, true)
	}
	dir := tb.TempDir()
	ca := certstest.NewAuthority(tb, "fake")
	ca.WriteCA(filepath.Join(dir, "ca.crt"))
	_, _, pair := ca.Issue(dir, "broker", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	password := rand.Text()
	if err := os.WriteFile(filepath.Join(dir, "admin"), []byte(password), 0o600); err != nil {
		tb.Fatal(err)
	}
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}),
		kfake.EnableSASL(), kfake.EnableACLs(), kfake.Superuser("SCRAM-SHA-512", "admin", password))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(fake.Close)
	return Lab{
		"LAB_FORM": "fake", "ALMANAC_KAFKA": fake.ListenAddrs()[0], "ALMANAC_KAFKA_CA": filepath.Join(dir, "ca.crt"),
		"KAFKA_SCRAM_ADMIN_USER": "admin", "KAFKA_SCRAM_ADMIN_PASSWORD_FILE": filepath.Join(dir, "admin"),
	}
}

// Fake says that the lab is a broker in memory.
func (l Lab) Fake() bool { return l["LAB_FORM"] == "fake" }

// Open opens a cluster for as long as the test lasts.
func Open(tb testing.TB, cfg link.Config) *link.Cluster {
	tb.Helper()
	c, err := link.Open(tb.Context(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return c
}

// UserConfig makes a user of SCRAM and reaches the cluster as that. The user stays, with a password that nobody knows: once, after
// dozens were made and deleted, a Kafka 4.4.0 that was started again knew no user of SCRAM at all; why was not found out.
func (l Lab) UserConfig(tb testing.TB, user string) link.Config {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), user)
	l.SetPassword(tb, user, file)
	cfg := l.Config()
	cfg.Access.User, cfg.Access.PasswordFile = user, file
	return cfg
}

// SetPassword gives a user a new password and writes it to a file.
func (l Lab) SetPassword(tb testing.TB, user, file string) {
	tb.Helper()
	password := rand.Text()
	admin := Open(tb, l.AdminConfig())
	set, err := admin.Admin.AlterUserSCRAMs(tb.Context(), nil, []kadm.UpsertSCRAM{{User: user, Mechanism: kadm.ScramSha512, Iterations: 4096, Password: password}})
	if err == nil {
		err = set.Error()
	}
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
}
