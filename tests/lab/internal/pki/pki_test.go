package pki

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestIssue(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	a, err := New(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	for name, c := range map[string]struct {
		hosts  []string
		server bool
	}{
		"server": {[]string{"localhost", "127.0.0.1"}, true},
		"client": {nil, false},
	} {
		if err := a.Issue(name, c.hosts...); err != nil {
			t.Fatal(err)
		}
		pair, err := tls.LoadX509KeyPair(filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".pem"))
		if err != nil {
			t.Fatal(err)
		}
		verify := func(usage x509.ExtKeyUsage, host string) error {
			_, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: host, KeyUsages: []x509.ExtKeyUsage{usage}, CurrentTime: now})
			return err
		}
		if err := verify(x509.ExtKeyUsageClientAuth, ""); err != nil {
			t.Errorf("%s as client: %v", name, err)
		}
		for _, host := range []string{"localhost", "127.0.0.1"} {
			if err := verify(x509.ExtKeyUsageServerAuth, host); (err == nil) != c.server {
				t.Errorf("%s as server %s: %v, want it to be good: %v", name, host, err, c.server)
			}
		}
		if pair.Leaf.Subject.CommonName != name {
			t.Errorf("common name %q, want %q", pair.Leaf.Subject.CommonName, name)
		}
	}
}

func TestNobodyElseReadsTheKeys(t *testing.T) {
	dir := t.TempDir()
	a, err := New(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Issue("x"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "x.key"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o, want 600", info.Mode().Perm())
	}
}
