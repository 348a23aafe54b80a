// Package secure lets a client into a cluster of Kafka: by TLS 1.3, a certificate of its own, and SCRAM-SHA-512. Files are read
// again with each new connection, so that what was rotated counts without a restart.
package secure

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/almanac-data/almanac/functions/internal/certs"
	"github.com/almanac-data/almanac/functions/internal/kafka/fault"
)

// Access says by what a client is let in. If all of it is empty, connections are plain; else they are TLS 1.3.
type Access struct {
	CA           string `env:"ALMANAC_KAFKA_CA"            secret:"file"` // PEM file of who signs the brokers' certificates; the system's if empty
	Cert         string `env:"ALMANAC_KAFKA_CERT"          secret:"file"` // PEM file of the client's certificate, and of those between it and its authority
	Key          string `env:"ALMANAC_KAFKA_KEY"           secret:"file"` // PEM file of its key
	User         string `env:"ALMANAC_KAFKA_USER"`                        // logs in by SCRAM-SHA-512
	PasswordFile string `env:"ALMANAC_KAFKA_PASSWORD_FILE" secret:"file"` // its first line is the password
	ServerName   string `env:"ALMANAC_KAFKA_SERVER_NAME"`                 // that the brokers' certificates are for, if not the host that is dialled

	Now func() time.Time // that certificates are judged by; nil for the clock of the machine
}

// Check tells every mistake, each by the name of its variable.
func (a Access) Check() error {
	var all []error
	wrong := func(bad bool, says string) {
		if bad {
			all = append(all, errors.New(says))
		}
	}
	wrong((a.Cert == "") != (a.Key == ""), "ALMANAC_KAFKA_CERT and ALMANAC_KAFKA_KEY must be set together")
	wrong((a.User == "") != (a.PasswordFile == ""), "ALMANAC_KAFKA_USER and ALMANAC_KAFKA_PASSWORD_FILE must be set together")
	wrong(a.ServerName != "" && !a.secured(), "ALMANAC_KAFKA_SERVER_NAME needs ALMANAC_KAFKA_CA, _CERT or _USER: connections are plain without")
	return errors.Join(all...)
}

func (a Access) secured() bool { return a.CA != "" || a.Cert != "" || a.User != "" }

// dialTimeout bounds connection and handshake, each.
const dialTimeout = 5 * time.Second

// Door makes connections. It is safe for concurrent use.
type Door struct {
	access Access
	ca     *certs.Authorities // nil for the system's
	pair   *certs.Pair        // nil for none
}

// New reads the files once, so that a mistake shows at the start. It returns nil if connections are plain.
func New(a Access) (*Door, error) {
	if err := a.Check(); err != nil {
		return nil, err
	}
	if !a.secured() {
		return nil, nil
	}
	if a.Now == nil {
		a.Now = time.Now
	}
	d := &Door{access: a}
	if a.CA != "" {
		d.ca = &certs.Authorities{File: a.CA}
	}
	if a.Cert != "" {
		d.pair = &certs.Pair{Cert: a.Cert, Key: a.Key}
	}
	_, perr := d.password()
	if _, err := d.conf(""); err != nil || perr != nil {
		return nil, errors.Join(err, perr)
	}
	return d, nil
}

// User is how the brokers know the client: the user of SCRAM, or the common name of the certificate, as brokers are told to read it. It
// may be empty.
func (d *Door) User() string {
	if d.access.User != "" {
		return d.access.User
	}
	if d.pair == nil || d.pair.Last() == nil {
		return ""
	}
	return d.pair.Last().Leaf.Subject.CommonName
}

// Dial connects and shakes hands with what the files hold now. Errors say what to do.
func (d *Door) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	conf, err := d.conf(host)
	if err != nil {
		return nil, err
	}
	raw, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, conf)
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close() // the handshake failed, which is told
		return nil, fmt.Errorf("TLS with %s: %w", address, fault.TLS(err, address))
	}
	return conn, nil
}

// conf is what holds for the next connection.
func (d *Door) conf(host string) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS13, ServerName: host, Time: d.access.Now}
	if d.access.ServerName != "" {
		conf.ServerName = d.access.ServerName
	}
	var caErr, pairErr error
	if d.ca != nil {
		if conf.RootCAs, caErr = d.ca.Pool(); caErr != nil {
			caErr = fmt.Errorf("read ALMANAC_KAFKA_CA: %w", caErr)
		}
	}
	if d.pair != nil {
		pairErr = d.show(conf)
	}
	return conf, errors.Join(caErr, pairErr)
}

// show lets a connection show the client's certificate.
func (d *Door) show(conf *tls.Config) error {
	pair, err := d.pair.Read()
	if err != nil {
		return fmt.Errorf("read ALMANAC_KAFKA_CERT and ALMANAC_KAFKA_KEY: %w", err)
	}
	// It is shown also where it is signed by none that the broker asks for: then the broker says so.
	conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair, nil }
	return valid(d.access.Cert, pair.Leaf, d.access.Now())
}

// valid refuses a certificate that no broker would accept, and says why, which brokers do not.
func valid(file string, leaf *x509.Certificate, now time.Time) error {
	wrong := certs.Valid(leaf, now)
	if wrong == "" {
		return nil
	}
	mend := ", no restart is needed"
	if now.Before(leaf.NotBefore) {
		mend = ", or set this machine's clock"
	}
	return fault.Final(fmt.Errorf("ALMANAC_KAFKA_CERT: the certificate of %q in %s %s, it is %s: put one there that is valid%s",
		leaf.Subject.CommonName, file, wrong, now.UTC().Format(time.RFC3339), mend))
}

// password reads the first line of the password's file.
func (d *Door) password() (string, error) {
	if d.access.User == "" {
		return "", nil
	}
	b, err := os.ReadFile(d.access.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("read ALMANAC_KAFKA_PASSWORD_FILE: %w", err)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	if line = strings.TrimRight(line, "\r"); line == "" {
		return "", fmt.Errorf("read ALMANAC_KAFKA_PASSWORD_FILE: the first line of %s is empty", d.access.PasswordFile)
	}
	return line, nil
}

// Mechanism logs in with the password that the file holds at that time. It is nil if there is no user.
func (d *Door) Mechanism() sasl.Mechanism {
	if d.access.User == "" {
		return nil
	}
	return scram.Sha512(func(context.Context) (scram.Auth, error) {
		password, err := d.password()
		return scram.Auth{User: d.access.User, Pass: password}, err
	})
}
