package vault

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/hashicorp/vault/api"
)

// passingError is one that a later attempt may not meet.
type passingError struct{ error }

func (p passingError) Unwrap() error { return p.error }

// Passing says whether an error may pass by itself: the store is away, sealed or busy.
func Passing(err error) bool {
	var p passingError
	return errors.As(err, &p)
}

func status(err error, code int) bool {
	var answer *api.ResponseError
	return errors.As(err, &answer) && answer.StatusCode == code
}

func (c *Client) sealed() error {
	return passingError{fmt.Errorf("the secrets store at %s is sealed: unseal it (bao operator unseal); what waits for it goes on by itself", c.cfg.Server)}
}

// explain says what an error means that has nothing to do with what was asked.
func (c *Client) explain(err error) error {
	var answer *api.ResponseError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("the certificate of the secrets store at %s is signed by an authority that ALMANAC_VAULT_CA does not hold: %w", c.cfg.Server, err)
	case errors.As(err, &host):
		return fmt.Errorf("the certificate of the secrets store is not for the host of ALMANAC_VAULT (%s): %w", c.cfg.Server, err)
	case !errors.As(err, &answer):
		return passingError{fmt.Errorf("ask the secrets store at %s (ALMANAC_VAULT): %w", c.cfg.Server, err)}
	case strings.Contains(strings.ToLower(said(answer)), "sealed"):
		return c.sealed()
	case answer.StatusCode >= http.StatusInternalServerError || answer.StatusCode == http.StatusTooManyRequests:
		return passingError{fmt.Errorf("ask the secrets store at %s: it answers %d: %s", c.cfg.Server, answer.StatusCode, said(answer))}
	}
	return fmt.Errorf("ask the secrets store at %s: it answers %d: %s", c.cfg.Server, answer.StatusCode, said(answer))
}

// denied names what a policy must grant.
func (c *Client) denied(verb, path, capability string) error {
	who := c.role()
	if c.cfg.RoleID != "" {
		who = "of ALMANAC_VAULT_ROLE_ID"
	}
	return fmt.Errorf(`%s: permission denied for the role %s at %s: its policy needs  path %q { capabilities = [%q] }`, verb, who, c.cfg.Server, path, capability)
}
