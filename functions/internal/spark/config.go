package spark

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/almanac-data/almanac/functions/internal/spark/connect"
)

// Config says where Spark is and how to get there.
type Config struct {
	// Server is sc://host or sc://host:port of a Spark 4 Connect server.
	Server string `env:"ALMANAC_SPARK"`
	// TokenFile holds the server's bearer token. It goes over TLS, or to this very machine.
	TokenFile string `env:"ALMANAC_SPARK_TOKEN_FILE" secret:"file"`
	// CA is a PEM file of who vouches for the server, or the word system. With it all goes over TLS, without it in plain text.
	CA        string        `env:"ALMANAC_SPARK_CA"                   secret:"file"`
	User      string        `env:"ALMANAC_SPARK_USER,default=almanac"` // shown beside each query
	Heartbeat time.Duration `env:"ALMANAC_SPARK_HEARTBEAT,default=2m"` // how often a session at work is touched
}

// Required is a Config of what cannot do without Spark.
type Required struct{ Config }

// Check is the Config's, and wants a server.
func (r Required) Check() error {
	if r.Server == "" {
		return errors.New("ALMANAC_SPARK is not set; without Spark there is almanac run, which has DuckDB")
	}
	return r.Config.Check()
}

const (
	defaultPort = 15002
	systemCA    = "system"
	// forgotten is after how long Spark ends a session that nobody has called.
	forgotten = time.Hour
)

// Check reports every mistake at once, each by the name of its variable. Without a server it is a mistake to say more about it.
func (c Config) Check() error {
	var all []error
	wrong := func(variable, format string, args ...any) {
		all = append(all, fmt.Errorf(variable+" "+format, args...))
	}
	host, _, err := c.address()
	switch {
	case c.Server == "":
		for variable, value := range map[string]string{"ALMANAC_SPARK_TOKEN_FILE": c.TokenFile, "ALMANAC_SPARK_CA": c.CA} {
			if value != "" {
				wrong(variable, "is set, but ALMANAC_SPARK is not: it says which server is meant")
			}
		}
	case err != nil:
		wrong("ALMANAC_SPARK", "must be sc://host:port, %w", err)
	case c.TokenFile != "" && c.CA == "" && !connect.Loopback(host):
		wrong("ALMANAC_SPARK_TOKEN_FILE", "needs TLS, as %s is another machine: set ALMANAC_SPARK_CA to the authority's PEM file, or to %s", host, systemCA)
	}
	if c.TokenFile != "" {
		if _, err := connect.ReadToken(c.TokenFile); err != nil {
			wrong("ALMANAC_SPARK_TOKEN_FILE", "cannot be used: %w", err)
		}
	}
	if _, err := c.tls(); err != nil {
		wrong("ALMANAC_SPARK_CA", "cannot be used: %w", err)
	}
	if c.Heartbeat <= 0 || c.Heartbeat > forgotten/2 {
		wrong("ALMANAC_SPARK_HEARTBEAT", "must be longer than 0 and at most %s, not %s", forgotten/2, c.Heartbeat)
	}
	return errors.Join(all...)
}

// address splits the server.
func (c Config) address() (host, address string, err error) {
	u, err := url.Parse(c.Server)
	if err != nil {
		return "", "", errors.New("which is no such URL")
	}
	if u.Scheme != "sc" || u.Hostname() == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.User != nil {
		return "", "", errors.New("and no more: the token, the user and TLS have variables of their own")
	}
	port := u.Port()
	if port == "" {
		port = strconv.Itoa(defaultPort)
	}
	return u.Hostname(), net.JoinHostPort(u.Hostname(), port), nil
}

// tls is nil for plain text.
func (c Config) tls() (*tls.Config, error) {
	switch c.CA {
	case "":
		return nil, nil
	case systemCA:
		return &tls.Config{MinVersion: tls.VersionTLS12}, nil
	}
	pem, err := os.ReadFile(c.CA)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", c.CA)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}, nil
}
