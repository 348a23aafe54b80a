// Package vault speaks to the secrets store: OpenBao, or HashiCorp Vault, by the API that both share. It alone imports its client.
package vault

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"
)

// Config says where the store is, and by what a function logs in to it: by AppRole where a role id is set, else by the token of its Kubernetes
// service account.
type Config struct {
	Server       string        `env:"ALMANAC_VAULT"`                                   // https://host:port; of several servers of one store all, parted by commas
	CA           string        `env:"ALMANAC_VAULT_CA"                  secret:"file"` // PEM file of who signs its certificate; the system's if empty
	RoleID       string        `env:"ALMANAC_VAULT_ROLE_ID"`                           // of AppRole
	SecretIDFile string        `env:"ALMANAC_VAULT_SECRET_ID_FILE"      secret:"file"` // holds the secret id that goes with it
	Role         string        `env:"ALMANAC_VAULT_ROLE"`                              // of the Kubernetes method; the name of the function if empty
	TokenFile    string        `env:"ALMANAC_VAULT_TOKEN_FILE"          secret:"file"` // of the service account; where Kubernetes puts it if empty
	Method       string        `env:"ALMANAC_VAULT_METHOD"`                            // path of the login method; approle or kubernetes if empty
	Refresh      time.Duration `env:"ALMANAC_VAULT_REFRESH,default=1m"`                // how often secrets are read again
	Timeout      time.Duration `env:"ALMANAC_VAULT_TIMEOUT,default=10s"`               // of one request
}

// Defaults of the tags, for who fills a Config by hand.
const (
	DefaultRefresh = time.Minute
	DefaultTimeout = 10 * time.Second
)

const accountToken = "/var/run/secrets/kubernetes.io/serviceaccount/token" //nolint:gosec // a path

// Check tells every mistake, each by the name of its variable.
func (c Config) Check() error {
	var all []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			all = append(all, fmt.Errorf(format, args...))
		}
	}
	servers, malformed := c.servers()
	wrong(malformed, "ALMANAC_VAULT must be https://host:port and no more, or several of these, parted by commas")
	for _, u := range servers {
		plain := u.Scheme == "http"
		wrong(plain && !loopback(u.Hostname()), "ALMANAC_VAULT must be https://…: http is for this very machine alone")
		wrong(plain && c.CA != "", "ALMANAC_VAULT_CA is set, and ALMANAC_VAULT is http://…")
	}
	wrong((c.RoleID == "") != (c.SecretIDFile == ""), "ALMANAC_VAULT_ROLE_ID and ALMANAC_VAULT_SECRET_ID_FILE must be set together")
	wrong(c.RoleID != "" && (c.Role != "" || c.TokenFile != ""),
		"ALMANAC_VAULT_ROLE_ID logs in by AppRole, and ALMANAC_VAULT_ROLE and ALMANAC_VAULT_TOKEN_FILE by Kubernetes: set one or the other")
	wrong(c.Refresh < time.Second, "ALMANAC_VAULT_REFRESH must be at least 1s, not %s", c.Refresh)
	wrong(c.Timeout < time.Second, "ALMANAC_VAULT_TIMEOUT must be at least 1s, not %s", c.Timeout)
	return errors.Join(all...)
}

// servers are the addresses, unless one is no address of a server.
func (c Config) servers() (all []*url.URL, malformed bool) {
	if c.Server == "" {
		return nil, false
	}
	for text := range strings.SplitSeq(c.Server, ",") {
		u, err := url.Parse(strings.TrimSpace(text))
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil {
			return nil, true
		}
		all = append(all, u)
	}
	return all, false
}

func (c Config) tokenFile() string { return cmp.Or(c.TokenFile, accountToken) }

// required says what is missing to log in, when something is to be read.
func (c Config) required() error {
	if c.Server == "" {
		return errors.New("ALMANAC_VAULT is not set: name the secrets store, as docs/secrets.md says")
	}
	if c.RoleID != "" {
		return nil
	}
	if _, err := os.Stat(c.tokenFile()); err != nil {
		return fmt.Errorf("nothing says how to log in to %s: set ALMANAC_VAULT_ROLE_ID and ALMANAC_VAULT_SECRET_ID_FILE; or, on Kubernetes, mount the token of "+
			"the service account (ALMANAC_VAULT_TOKEN_FILE): %w", c.Server, err)
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
