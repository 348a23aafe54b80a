package webhdfs_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/almanac-data/almanac/functions/internal/hdfs/session"
	"github.com/almanac-data/almanac/functions/internal/hdfs/webhdfs"
)

// certificate is one for 127.0.0.1 that holds for a day from a time on, and who trusts it.
func certificate(t *testing.T, from time.Time) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: from.Add(24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// TestACertificateThatDoesNotHoldNow may be the clock's fault: it is told with the server, both times and the setting.
func TestACertificateThatDoesNotHoldNow(t *testing.T) {
	for name, tt := range map[string]struct {
		from time.Duration
		want string
	}{
		"not yet valid": {time.Hour, "is before"},
		"expired":       {-25 * time.Hour, "is after"},
	} {
		cert, pool := certificate(t, time.Now().Add(tt.from))
		s := httptest.NewUnstartedServer(nil)
		s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		c := webhdfs.New(webhdfs.Config{URLs: []string{s.URL}, TLS: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, User: "u", Timeout: 5 * time.Second})
		_, err := c.Stat("/w")
		for _, want := range []string{s.Listener.Addr().String(), "x509", "current time", tt.want, "clock", "ALMANAC_HDFS_WEB"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: the error does not name %q: %v", name, want, err)
			}
		}
		c.Close()
		s.Close()
	}
}

// TestHTTPSToAPortOfHTTP is told at once, with the setting to change.
func TestHTTPSToAPortOfHTTP(t *testing.T) {
	n := newNameNode(t, nil)
	_, err := newClient(t, strings.Replace(n.URL, "http://", "https://", 1)).Stat("/w")
	if !errors.Is(err, http.ErrSchemeMismatch) || !strings.Contains(err.Error(), "ALMANAC_HDFS_WEB") || session.Passing(err) {
		t.Errorf("Stat = %v (passing %t), want a lasting error that names ALMANAC_HDFS_WEB", err, session.Passing(err))
	}
}
