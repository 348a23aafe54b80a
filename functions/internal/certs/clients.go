package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"time"

	"github.com/almanac-data/almanac/functions/internal/identity"
)

// Clients judges client certificates. A connection asks for one and takes any, or none; here it is checked with each request, so
// that whoever is refused learns why, and that a certificate which has expired since is refused too.
type Clients struct {
	Authorities *Authorities
	Now         func() time.Time
}

// Identify tells who is at the other end of a connection, nobody if no certificate is shown. The error is an *identity.RefusalError, or one of
// reading the authorities.
func (c *Clients) Identify(state *tls.ConnectionState) (identity.Identity, error) {
	var nobody identity.Identity
	if state == nil || len(state.PeerCertificates) == 0 {
		return nobody, nil
	}
	roots, err := c.Authorities.Pool()
	if err != nil {
		return nobody, err
	}
	between := x509.NewCertPool()
	for _, cert := range state.PeerCertificates[1:] {
		between.AddCert(cert)
	}
	leaf, now := state.PeerCertificates[0], c.Now()
	_, err = leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nobody, &identity.RefusalError{Says: refused(err, leaf, now)}
	}
	names := namesOf(leaf)
	if len(names) == 0 {
		return nobody, &identity.RefusalError{Says: "the certificate has no name: a DNS name, a URI or a common name is wanted"}
	}
	return identity.Identity{Issuer: leaf.Issuer.String(), Subject: names[0], Names: names}, nil
}

func refused(err error, leaf *x509.Certificate, now time.Time) string {
	if wrong := Valid(leaf, now); wrong != "" {
		return "the certificate " + wrong
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the certificate is signed by an authority that is not trusted here"
	}
	if bad, ok := errors.AsType[x509.CertificateInvalidError](err); ok && bad.Reason == x509.IncompatibleUsage {
		return "the certificate is not one for clients"
	}
	return "the certificate does not hold"
}

// namesOf are the names that an authority vouches for. The common name counts only where there is no other (RFC 9525).
func namesOf(leaf *x509.Certificate) []string {
	names := leaf.DNSNames
	for _, u := range leaf.URIs {
		names = append(names, u.String())
	}
	if len(names) == 0 && leaf.Subject.CommonName != "" {
		names = []string{leaf.Subject.CommonName}
	}
	return names
}
