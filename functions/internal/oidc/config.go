// Package oidc judges bearer tokens: JSON Web Tokens that an OpenID provider has signed, by the keys that it publishes. It is the only
// importer of its client library.
package oidc

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"
)

// Config says whose tokens are taken. If Issuer is empty, none are.
type Config struct {
	Issuer   string `env:"ALMANAC_SERVE_OIDC_ISSUER"`                              // URL, as the claim iss has it
	Audience string `env:"ALMANAC_SERVE_OIDC_AUDIENCE"`                            // that the claim aud must hold
	Keys     string `env:"ALMANAC_SERVE_OIDC_KEYS"`                                // file or URL of a JSON Web Key Set; if empty, where the issuer's discovery document says
	CA       string `env:"ALMANAC_SERVE_OIDC_CA"                    secret:"file"` // PEM file of who signs the issuer's TLS certificate; the system's if empty
	Groups   string `env:"ALMANAC_SERVE_OIDC_GROUPS,default=groups"`               // claim that lists the groups of the subject: a list, or words divided by blanks
}

// Check tells every mistake, each by the name of its variable.
func (c Config) Check() error {
	if c.Issuer == "" {
		if c.Audience != "" || c.Keys != "" || c.CA != "" {
			return errors.New("ALMANAC_SERVE_OIDC_AUDIENCE, _KEYS and _CA need ALMANAC_SERVE_OIDC_ISSUER: set it to the URL that the claim iss of tokens has")
		}
		return nil
	}
	var all []error
	if c.Audience == "" {
		all = append(all, errors.New("ALMANAC_SERVE_OIDC_ISSUER needs ALMANAC_SERVE_OIDC_AUDIENCE: "+
			"set it to what the issuer writes into the claim aud of tokens for this server, so that those for others are refused"))
	}
	// What they are set to is not told: a URL may hold a password, which is one of the mistakes.
	if u, err := url.Parse(c.Issuer); err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" || c.Keys == "" && !safe(u) {
		all = append(all, errors.New("ALMANAC_SERVE_OIDC_ISSUER must be an https URL without user and query (http is taken for 127.0.0.1 and [::1])"))
	}
	if remote(c.Keys) {
		if u, err := url.Parse(c.Keys); err != nil || !safe(u) {
			all = append(all, errors.New("ALMANAC_SERVE_OIDC_KEYS must be a file or an https URL without user (http is taken for 127.0.0.1 and [::1])"))
		}
	}
	return errors.Join(all...)
}

// remote tells URLs from files.
func remote(keys string) bool { return strings.Contains(keys, "://") }

// safe says whether nobody between here and there can change what a URL gives.
func safe(u *url.URL) bool {
	if u.Host == "" || u.User != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && err == nil && ip.IsLoopback()
}
