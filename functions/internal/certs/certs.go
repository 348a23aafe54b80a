// Package certs reads certificates and keys from PEM files, and again when asked again, so that what was rotated counts without a
// restart. While files are being replaced, what was read before counts.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync"
	"time"
)

// Authorities is a file of certificates that sign others. It is safe for concurrent use.
type Authorities struct {
	File string

	mu   sync.Mutex
	last *x509.CertPool
}

// Pool reads the file. It fails only if the file has never been whole.
func (a *Authorities) Pool() (*x509.CertPool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	text, err := os.ReadFile(a.File)
	pool := x509.NewCertPool()
	if err == nil && !pool.AppendCertsFromPEM(text) {
		err = fmt.Errorf("%s holds no certificate in PEM form", a.File)
	}
	switch {
	case err == nil:
		a.last = pool
	case a.last == nil:
		return nil, err
	}
	return a.last, nil
}

// Pair is a file of a certificate, with those between it and its authority, and a file of its key. It is safe for concurrent use.
type Pair struct {
	Cert, Key string

	mu   sync.Mutex
	last *tls.Certificate
}

// Read reads both files. It fails only if they have never fitted together.
func (p *Pair) Read() (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pair, err := tls.LoadX509KeyPair(p.Cert, p.Key)
	switch {
	case err == nil:
		p.last = &pair
	case p.last == nil:
		return nil, err
	}
	return p.last, nil
}

// Last is what was read last, nil if nothing was.
func (p *Pair) Last() *tls.Certificate {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// Valid says when a certificate is not valid at a time: "expired at …" or "is not valid before …". It is empty if it is valid.
func Valid(leaf *x509.Certificate, now time.Time) string {
	switch {
	case now.After(leaf.NotAfter):
		return "expired at " + leaf.NotAfter.UTC().Format(time.RFC3339)
	case now.Before(leaf.NotBefore):
		return "is not valid before " + leaf.NotBefore.UTC().Format(time.RFC3339)
	}
	return ""
}
