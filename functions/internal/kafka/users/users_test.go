package users_test

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/almanac-data/almanac/functions/internal/certs/certstest"
	"github.com/almanac-data/almanac/functions/internal/kafka/kafkatest"
	"github.com/almanac-data/almanac/functions/internal/kafka/link"
	"github.com/almanac-data/almanac/functions/internal/kafka/secure"
	"github.com/almanac-data/almanac/functions/internal/kafka/users"
)

// administered is a broker that wants passwords, as its administrator reaches it.
func administered(t *testing.T) *link.Cluster {
	t.Helper()
	dir, ca := t.TempDir(), certstest.NewAuthority(t, "authority")
	_, _, pair := ca.Issue(dir, "broker", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "admin", "secret"),
		kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	ca.WriteCA(filepath.Join(dir, "ca.crt"))
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	return kafkatest.Open(t, link.Config{
		Brokers: fake.ListenAddrs(), Now: time.Now,
		Access: secure.Access{CA: filepath.Join(dir, "ca.crt"), User: "admin", PasswordFile: password},
	})
}

func TestUsersGetTheirPasswords(t *testing.T) {
	c := administered(t)
	for _, step := range []struct {
		name      string
		passwords map[string]string
		want      []string
	}{
		{"both are new", map[string]string{"a": "one", "b": "two"}, []string{"a", "b"}},
		{"both are known", map[string]string{"a": "one", "b": "two"}, nil},
		{"one is another", map[string]string{"a": "one", "b": "three"}, []string{"b"}},
	} {
		got, err := users.Apply(t.Context(), c, step.passwords)
		if err != nil || !slices.Equal(got, step.want) {
			t.Errorf("where %s: Apply = %v, %v, want %v", step.name, got, err, step.want)
		}
		for user, password := range step.passwords {
			if in, err := c.LetsIn(t.Context(), user, password); !in || err != nil {
				t.Errorf("where %s: %s is not let in with its password: %v", step.name, user, err)
			}
		}
	}
	if in, err := c.LetsIn(t.Context(), "b", "two"); in || err != nil {
		t.Errorf("LetsIn with the password before = %v, %v, want false", in, err)
	}
}
