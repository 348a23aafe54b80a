// Package pki makes the certificate authority of a lab, and the keys and certificates of its servers and clients, as PEM files.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Authority signs certificates into one folder. It is good for one lab only: its key is kept nowhere.
type Authority struct {
	dir  string
	now  time.Time
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// life is how long everything is valid: longer than anyone keeps a lab.
const life = 365 * 24 * time.Hour

// New makes an authority and writes its certificate to <dir>/ca.crt.
func New(dir string, now time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := template("almanac-lab-ca", now)
	t.IsCA, t.BasicConstraintsValid = true, true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	a := &Authority{dir: dir, now: now, cert: cert, key: key}
	return a, write(filepath.Join(dir, "ca.crt"), block("CERTIFICATE", der))
}

// Issue makes a key and a certificate for the common name: a client's, and with hosts (names or addresses) also a server's.
// It writes <name>.key (PKCS#8), <name>.crt, and <name>.pem, which holds both and the authority's certificate.
func (a *Authority) Issue(name string, hosts ...string) error {
	return a.issue(name, "", a.now.Add(life), hosts...)
}

// Member is Issue for a name that belongs to an organization, by which Kubernetes knows a user's group.
func (a *Authority) Member(name, organization string) error {
	return a.issue(name, organization, a.now.Add(life))
}

// Expired makes those of a client whose certificate ended half an hour after it began, which was an hour ago.
func (a *Authority) Expired(name string) error { return a.issue(name, "", a.now.Add(-30*time.Minute)) }

func (a *Authority) issue(name, organization string, end time.Time, hosts ...string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	t := template(name, a.now)
	t.NotAfter = end
	if organization != "" {
		t.Subject.Organization = []string{organization}
	}
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, host)
		}
	}
	if len(hosts) > 0 {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, key.Public(), a.key)
	if err != nil {
		return err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	k, c := block("PRIVATE KEY", pkcs8), block("CERTIFICATE", der)
	for ext, b := range map[string][]byte{
		".key": k,
		".crt": c,
		".pem": append(append(append([]byte{}, k...), c...), block("CERTIFICATE", a.cert.Raw)...),
	} {
		if err := write(filepath.Join(a.dir, name+ext), b); err != nil {
			return err
		}
	}
	return nil
}

func template(name string, now time.Time) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // never fails: rand.Reader does not
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name, Organization: []string{"Almanac lab"}},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(life),
	}
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func write(path string, b []byte) error { return os.WriteFile(path, b, 0o600) }
