// Package gate opens what stands before the HTTP API: TLS, the judges of tokens and certificates, the policy, and the audit trail. It is wiring
// that the mains share.
package gate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/almanac-data/almanac/functions/internal/certs"
	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/oidc"
	"github.com/almanac-data/almanac/functions/internal/serve/access"
	"github.com/almanac-data/almanac/functions/internal/serve/policy"
)

// Gate is what was opened. Close ends it.
type Gate struct {
	*access.Gate

	verifier *oidc.Verifier
}

// Open reads the configuration of a process, and gives it TLS. It refuses to let everybody in off loopback. It waits for the issuer of
// tokens, if there is one. Audit lines go to out unless a file is configured.
func Open(ctx context.Context, p *fn.Process, out io.Writer) (*Gate, error) {
	local, err := p.Loopback(ctx)
	if err != nil {
		return nil, err
	}
	var c Config
	if err := fn.Load(ctx, p.Env, &c); err != nil {
		return nil, err
	}
	if !c.Asks() && !local {
		return nil, errOpen
	}
	g := &Gate{Gate: &access.Gate{Trail: access.NewTrail(c.Audit, out), PerCaller: c.PerCaller, Now: p.Now, Log: p.Log}}
	if err := g.Trail.Try(); err != nil {
		return nil, fmt.Errorf("open the audit trail: %w; set ALMANAC_SERVE_AUDIT to a file that can be written", err)
	}
	p.Ready("audit trail", g.Trail.Ready)
	p.Front.Metrics = g.Metrics
	if p.Front.TLS, err = c.tls(p); err != nil || !c.Asks() {
		return g, err
	}
	if !local && c.Cert == "" {
		p.Log.Warn("tokens come over plain HTTP: something before this server must speak TLS, as Knative does, or ALMANAC_SERVE_CERT be set")
	}
	if err := g.judge(c, p); err != nil {
		return nil, err
	}
	return g, g.openIssuer(ctx, c.Tokens, p)
}

// tls is nil if no certificate is configured. Files are read again with each connection.
func (c Config) tls(p *fn.Process) (*tls.Config, error) {
	if c.Cert == "" {
		return nil, nil
	}
	pair := &certs.Pair{Cert: c.Cert, Key: c.Key}
	read, err := pair.Read()
	if err != nil {
		return nil, fmt.Errorf("read ALMANAC_SERVE_CERT and ALMANAC_SERVE_KEY: %w", err)
	}
	p.Meter.Certificates(map[string]string{"ALMANAC_SERVE_CERT": c.Cert, "ALMANAC_SERVE_CLIENT_CA": c.ClientCA})
	if wrong := certs.Valid(read.Leaf, p.Now()); wrong != "" {
		return nil, fmt.Errorf("ALMANAC_SERVE_CERT: the certificate in %s %s: put one there that is valid", c.Cert, wrong)
	}
	conf := &tls.Config{
		MinVersion:     tls.VersionTLS13,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.Read() },
	}
	if c.ClientCA != "" {
		conf.ClientAuth = tls.RequestClientCert // access.Certificates checks it, and says what is wrong with it
	}
	return conf, nil
}

func (g *Gate) judge(c Config, p *fn.Process) error {
	file := &policy.File{Name: c.Policy, Warn: func(err error) {
		p.Log.Warn("the policy has changed and cannot be read; the one before it counts", "error", err.Error())
	}}
	g.Policy = file
	if _, err := file.Read(); err != nil {
		return fmt.Errorf("read ALMANAC_SERVE_POLICY: %w", err)
	}
	if c.ClientCA == "" {
		return nil
	}
	peers := &certs.Clients{Authorities: &certs.Authorities{File: c.ClientCA}, Now: p.Now}
	g.Peers = peers
	if _, err := peers.Authorities.Pool(); err != nil {
		return fmt.Errorf("read ALMANAC_SERVE_CLIENT_CA: %w", err)
	}
	return nil
}

func (g *Gate) openIssuer(ctx context.Context, c oidc.Config, p *fn.Process) error {
	if c.Issuer == "" {
		return nil
	}
	err := p.Await(ctx, "the issuer of tokens "+c.Issuer+" (ALMANAC_SERVE_OIDC_ISSUER)", oidc.Passing, func(ctx context.Context) (err error) {
		g.verifier, err = oidc.Open(ctx, c, p.Now, p.Log)
		return err
	})
	if err != nil {
		return fmt.Errorf("open the issuer of tokens (ALMANAC_SERVE_OIDC_ISSUER): %w", err)
	}
	g.Tokens = g.verifier
	p.Ready("issuer of tokens", g.verifier.Ready)
	return nil
}

// Close waits for what is under way.
func (g *Gate) Close() {
	if g.verifier != nil {
		g.verifier.Close()
	}
}

// unknown names the datasets that the policy mentions and that are none.
func (g *Gate) unknown(datasets []string) error {
	rules, err := g.Policy.Read()
	if err != nil || datasets == nil {
		return err
	}
	for _, name := range rules.Datasets() {
		if !slices.Contains(datasets, name) {
			return fmt.Errorf("ALMANAC_SERVE_POLICY grants %q, and there is no dataset of that name; there are: %s", name, strings.Join(datasets, ", "))
		}
	}
	return nil
}

// Examine opens everything once, as a doctor does, and says in a sentence who is let in. Names of datasets that the policy mentions are
// compared with those there are, unless that is nil.
func Examine(ctx context.Context, p *fn.Process, datasets []string) (string, error) {
	var c Config
	if err := fn.Load(ctx, p.Env, &c); err != nil {
		return "", err
	}
	g := &Gate{Gate: &access.Gate{}}
	if _, err := c.tls(p); err != nil {
		return "", err
	}
	if !c.Asks() {
		return "nobody is asked who he is, so serve answers on loopback only", nil
	}
	if err := g.judge(c, p); err != nil {
		return "", err
	}
	defer g.Close()
	if err := errors.Join(g.unknown(datasets), g.openIssuer(ctx, c.Tokens, p)); err != nil {
		return "", err
	}
	switch {
	case g.Peers == nil:
		return "holders of tokens of " + c.Tokens.Issuer + " are let in, as " + c.Policy + " says", nil
	case g.Tokens == nil:
		return "holders of client certificates are let in, as " + c.Policy + " says", nil
	}
	return "holders of tokens of " + c.Tokens.Issuer + " and of client certificates are let in, as " + c.Policy + " says", nil
}
