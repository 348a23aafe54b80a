// Package certstest signs certificates for tests.
package certstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority signs certificates for tests.
type Authority struct {
	tb   testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes one.
func NewAuthority(tb testing.TB, name string) *Authority {
	tb.Helper()
	a := &Authority{tb: tb}
	t := template(name, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	t.IsCA, t.BasicConstraintsValid, t.KeyUsage = true, true, x509.KeyUsageCertSign
	a.key = a.newKey()
	der, err := x509.CreateCertificate(rand.Reader, t, t, a.key.Public(), a.key)
	if err != nil {
		tb.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		tb.Fatal(err)
	}
	return a
}

func (a *Authority) newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.tb.Fatal(err)
	}
	return key
}

func template(name string, from, to time.Time) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // never fails
	return &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: to}
}

// Pool trusts the authority.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// WriteCA writes the authority's certificate to a file.
func (a *Authority) WriteCA(file string) {
	a.tb.Helper()
	a.write(file, "CERTIFICATE", a.cert.Raw)
}

func (a *Authority) write(file, kind string, der []byte) {
	a.tb.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.tb.Fatal(err)
	}
}

// Issue makes a certificate that is valid between two times, for 127.0.0.1 and for clients, and writes <name>.crt and <name>.key to dir.
func (a *Authority) Issue(dir, name string, from, to time.Time) (cert, key string, pair tls.Certificate) {
	a.tb.Helper()
	t := template(name, from, to)
	t.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	return a.sign(dir, name, t)
}

// IssueFor is Issue for a common name, DNS names and URIs, all of which may be empty.
func (a *Authority) IssueFor(dir, name, common string, dns []string, uris []*url.URL, from, to time.Time) (cert, key string, pair tls.Certificate) {
	a.tb.Helper()
	t := template(common, from, to)
	t.DNSNames, t.URIs = dns, uris
	return a.sign(dir, name, t)
}

// IssueServer makes a certificate that is for servers alone.
func (a *Authority) IssueServer(dir, name string, dns []string, from, to time.Time) tls.Certificate {
	a.tb.Helper()
	t := template(name, from, to)
	t.DNSNames, t.ExtKeyUsage = dns, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	_, _, pair := a.sign(dir, name, t)
	return pair
}

// Like makes a certificate with the names of another, as one that is renewed has.
func (a *Authority) Like(dir, name string, other *x509.Certificate, from, to time.Time) (cert, key string, pair tls.Certificate) {
	a.tb.Helper()
	t := template(name, from, to)
	t.Subject, t.DNSNames, t.IPAddresses = other.Subject, other.DNSNames, other.IPAddresses
	return a.sign(dir, name, t)
}

func (a *Authority) sign(dir, name string, t *x509.Certificate) (cert, key string, pair tls.Certificate) {
	a.tb.Helper()
	t.KeyUsage = x509.KeyUsageDigitalSignature
	if t.ExtKeyUsage == nil {
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	}
	own := a.newKey()
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, own.Public(), a.key)
	if err != nil {
		a.tb.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		a.tb.Fatal(err)
	}
	cert, key = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	a.write(cert, "CERTIFICATE", der)
	a.write(key, "PRIVATE KEY", pkcs8)
	pair, err = tls.LoadX509KeyPair(cert, key)
	if err != nil {
		a.tb.Fatal(err)
	}
	return cert, key, pair
}
