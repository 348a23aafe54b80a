// Package registry says how registries are spoken to, and what a person can do if they refuse.
package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// NameOptions let a registry be tried by plain HTTP.
func NameOptions(insecure bool) []name.Option {
	if insecure {
		return []name.Option{name.Insecure}
	}
	return nil
}

// Options are how registries are spoken to: with the accounts of docker login and podman login, and by TLS unless insecure.
func Options(ctx context.Context, insecure bool) []remote.Option {
	by := remote.DefaultTransport
	if !insecure {
		by = tlsOnly{by}
	}
	return []remote.Option{
		remote.WithContext(ctx), remote.WithTransport(by), remote.WithUserAgent("almanac"),
		remote.WithAuthFromKeychain(authn.DefaultKeychain),
	}
}

// errPlain is the answer to a request that would go out in clear: the library takes plain HTTP to loopback and private addresses
// for granted.
var errPlain = errors.New("it would be spoken to by plain HTTP, in clear")

type tlsOnly struct{ http.RoundTripper }

func (t tlsOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		return nil, errPlain
	}
	return t.RoundTripper.RoundTrip(r)
}

// Explain says what a person can do about an error of a registry.
func Explain(err error, of name.Registry) error {
	host := of.RegistryStr()
	var answer *transport.Error
	switch {
	case errors.As(err, &answer) && (answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden):
		return fmt.Errorf("%w: log in first, with an account that may push there: docker login %s (or podman, or crane auth login)", err, host)
	case errors.As(err, &answer), errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, errPlain), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return fmt.Errorf("%w: if %s is meant to speak plain HTTP, set INSECURE=1", err, host)
	default:
		return fmt.Errorf("%w: does %s run, and is its name right?", err, host)
	}
}
