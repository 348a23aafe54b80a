package gate

import (
	"errors"
	"fmt"

	"github.com/almanac-data/almanac/functions/internal/oidc"
)

// Config says who is let in to the HTTP API, and by what.
type Config struct {
	Tokens oidc.Config

	Cert      string `env:"ALMANAC_SERVE_CERT"                  secret:"file"` // PEM file of the server's certificate and of those up to its authority; plain HTTP if empty
	Key       string `env:"ALMANAC_SERVE_KEY"                   secret:"file"` // PEM file of its key
	ClientCA  string `env:"ALMANAC_SERVE_CLIENT_CA"             secret:"file"` // PEM file of who signs the certificates of clients; certificates are not asked for if empty
	Policy    string `env:"ALMANAC_SERVE_POLICY"`                              // file of who may read what
	Audit     string `env:"ALMANAC_SERVE_AUDIT"`                               // file that the audit trail is appended to; standard output if empty
	PerCaller int    `env:"ALMANAC_SERVE_PER_CALLER,default=32"`               // requests of one caller at once
}

// Asks says whether callers must say who they are.
func (c Config) Asks() bool { return c.Tokens.Issuer != "" || c.ClientCA != "" }

// Check tells every mistake, each by the name of its variable.
func (c Config) Check() error {
	var all []error
	wrong := func(bad bool, says string) {
		if bad {
			all = append(all, errors.New(says))
		}
	}
	wrong((c.Cert == "") != (c.Key == ""), "ALMANAC_SERVE_CERT and ALMANAC_SERVE_KEY must be set together")
	wrong(c.ClientCA != "" && c.Cert == "", "ALMANAC_SERVE_CLIENT_CA needs ALMANAC_SERVE_CERT and ALMANAC_SERVE_KEY: clients show certificates over TLS only")
	wrong(c.Asks() && c.Policy == "", "ALMANAC_SERVE_POLICY must be set: it is the file of who may read what, and what it does not grant is refused")
	wrong(!c.Asks() && c.Policy != "", "ALMANAC_SERVE_POLICY needs ALMANAC_SERVE_OIDC_ISSUER or ALMANAC_SERVE_CLIENT_CA: without them nobody is asked who he is")
	wrong(c.PerCaller < 1, fmt.Sprintf("ALMANAC_SERVE_PER_CALLER must be 1 or more, not %d", c.PerCaller))
	return errors.Join(all...)
}

var errOpen = errors.New("off loopback the HTTP API must ask callers who they are: set ALMANAC_SERVE_OIDC_ISSUER and ALMANAC_SERVE_OIDC_AUDIENCE " +
	"(bearer tokens), or ALMANAC_SERVE_CERT, ALMANAC_SERVE_KEY and ALMANAC_SERVE_CLIENT_CA (client certificates), and ALMANAC_SERVE_POLICY (who may read what); " +
	"docs/security.md says how. Or listen on 127.0.0.1")
