// Package access decides who may read what of the HTTP API, by bearer tokens and client certificates, and writes down who did: one line of
// an audit trail for each download and each refusal.
package access

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/almanac-data/almanac/functions/internal/identity"
	"github.com/almanac-data/almanac/functions/internal/loopback"
	"github.com/almanac-data/almanac/functions/internal/problem"
	"github.com/almanac-data/almanac/functions/internal/serve/policy"
)

// Tokens judges bearer tokens.
type Tokens interface {
	// Verify tells who holds a token. The error is an *identity.RefusalError, or wraps identity.ErrAway.
	Verify(ctx context.Context, token string) (identity.Identity, error)
}

// Peers judges client certificates.
type Peers interface {
	// Identify tells who is at the other end of a connection, nobody if no certificate is shown.
	Identify(state *tls.ConnectionState) (identity.Identity, error)
}

// Policies gives the policy that holds now.
type Policies interface {
	Read() (*policy.Policy, error)
}

// Gate stands before the API. If neither Tokens nor Peers are set, nobody is asked who he is, and everybody may read everything.
type Gate struct {
	Tokens    Tokens
	Peers     Peers
	Policy    Policies
	Trail     *Trail // nil for none
	PerCaller int    // requests of one caller at once; 0 for no bound
	Now       func() time.Time
	Log       *slog.Logger

	mu   sync.Mutex
	busy map[string]int // requests under way by caller
}

// Asks says whether callers must say who they are.
func (g *Gate) Asks() bool { return g.Tokens != nil || g.Peers != nil }

type grantKey struct{}

// May says whether the caller of a request may read the dataset that he asks for, and notes it if not. Without a gate nobody may.
func May(ctx context.Context, dataset string) bool {
	ok := Sees(ctx, dataset)
	if l, noted := ctx.Value(lineKey{}).(*Line); noted && !ok {
		l.Event, l.Dataset, l.Reason = "refusal", short(dataset), "the policy does not grant this dataset"
	}
	return ok
}

// Sees says whether the caller of a request finds a dataset in a list.
func Sees(ctx context.Context, dataset string) bool {
	grant, _ := ctx.Value(grantKey{}).(policy.Grant)
	return grant.May(dataset)
}

// Everyone lets everybody read everything, without an audit trail.
func Everyone(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), grantKey{}, policy.Everything())))
	})
}

// local refuses requests that came by another name than this machine's own: a page in a browser must not reach a server that asks nobody who
// he is by a name that it made point here (DNS rebinding).
func local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := loopback.Refuse(r); p != nil {
			if l, noted := r.Context().Value(lineKey{}).(*Line); noted {
				l.Event, l.Reason = "refusal", p.Detail
			}
			p.Write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Guard lets only those in who may read something.
func (g *Gate) Guard(next http.Handler) http.Handler {
	if !g.Asks() {
		next = local(next)
	}
	return g.guard(next, func(grant policy.Grant) *problem.Error {
		if grant.Nothing() {
			return problem.New(http.StatusForbidden, "the policy grants you nothing; ask for an entry in it")
		}
		return nil
	})
}

// Metrics lets only those in whom the policy lets read metrics.
func (g *Gate) Metrics(next http.Handler) http.Handler {
	if !g.Asks() {
		next = local(next)
	}
	return g.guard(next, func(grant policy.Grant) *problem.Error {
		if !grant.Metrics() {
			return problem.New(http.StatusForbidden, "the policy does not grant you the metrics; ask for metrics: true in your entry")
		}
		return nil
	})
}

func (g *Gate) guard(next http.Handler, judge func(policy.Grant) *problem.Error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		line, out := newLine(r, g.Now()), newSent(w, g.Now, g.Asks())
		defer g.record(r.Context(), line, out) // also when the answer is cut off by a panic
		if r.TLS != nil {
			w.Header().Set("Strict-Transport-Security", "max-age=31536000")
		}
		grant, done, p := g.admit(out, r, line)
		if p == nil {
			defer done()
			p = judge(grant)
			if p != nil && g.Tokens != nil {
				out.Header().Add("WWW-Authenticate", challenge("insufficient_scope", p.Detail))
			}
		}
		if p != nil {
			if g.Trail == nil || !g.Trail.owes() { // else a flood of requests would fill the memory with lines
				line.Event, line.Reason = "refusal", p.Detail
			}
			p.Write(out)
		} else {
			ctx := context.WithValue(context.WithValue(r.Context(), grantKey{}, grant), lineKey{}, line)
			next.ServeHTTP(out, r.WithContext(ctx))
		}
		line.Whole = true
	})
}

// record ends a line and writes it, if it is one of what is to be remembered.
func (g *Gate) record(ctx context.Context, l *Line, out *sent) {
	l.Status, l.Bytes, l.Whole, l.Millis = out.status, out.bytes, l.Whole && !out.failed, g.Now().Sub(l.Time).Milliseconds()
	if g.Trail == nil || l.Event == "" {
		return
	}
	if err := g.Trail.say(ctx, l); err != nil {
		g.Log.ErrorContext(ctx, "audit line is kept until it can be written; nothing is handed out before", "error", err.Error())
	}
}

// admit tells what a caller may read, or why he is not let in. Who is let in calls done at the end.
func (g *Gate) admit(w http.ResponseWriter, r *http.Request, line *Line) (grant policy.Grant, done func(), p *problem.Error) {
	if g.Trail != nil {
		if err := g.Trail.Ready(r.Context()); err != nil {
			return grant, nil, away(w, "the audit trail cannot be written, and nothing is handed out without it; the server's /readyz says why")
		}
	}
	if !g.Asks() {
		return policy.Everything(), func() {}, nil
	}
	who, p := g.identify(w, r)
	if p != nil {
		return grant, nil, p
	}
	line.Issuer, line.Subject, line.Credential = short(who.Issuer), short(who.Subject), "token"
	if who.Names != nil {
		line.Credential = "certificate"
	}
	rules, err := g.Policy.Read()
	if err != nil {
		g.Log.ErrorContext(r.Context(), "policy cannot be read", "error", err.Error())
		return grant, nil, away(w, "the policy cannot be read; the server's log says why")
	}
	done, ok := g.take(who.Issuer + "\n" + who.Subject)
	if !ok {
		w.Header().Set("Retry-After", "1")
		return grant, nil, problem.New(http.StatusTooManyRequests, "you have %d requests under way, which is the most; wait until one has ended", g.PerCaller)
	}
	return rules.Of(who), done, nil
}

// take counts a request of a caller, if he may have another.
func (g *Gate) take(caller string) (done func(), ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.PerCaller > 0 && g.busy[caller] >= g.PerCaller {
		return nil, false
	}
	if g.busy == nil {
		g.busy = map[string]int{}
	}
	g.busy[caller]++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.busy[caller]--; g.busy[caller] == 0 {
			delete(g.busy, caller)
		}
	}, true
}

// identify tells who asks: the holder of the token if there is one, else of the certificate.
func (g *Gate) identify(w http.ResponseWriter, r *http.Request) (identity.Identity, *problem.Error) {
	given := r.Header.Values("Authorization")
	if g.Tokens != nil && len(given) > 0 {
		return g.byToken(w, r, given)
	}
	if g.Peers != nil {
		who, err := g.Peers.Identify(r.TLS)
		if err == nil && who.Subject != "" {
			return who, nil
		}
		if err != nil {
			return who, g.refuse(w, r, err)
		}
	}
	return identity.Identity{}, g.refuse(w, r, nil)
}

func (g *Gate) byToken(w http.ResponseWriter, r *http.Request, given []string) (identity.Identity, *problem.Error) {
	scheme, token, _ := strings.Cut(given[0], " ")
	if len(given) > 1 {
		w.Header().Add("WWW-Authenticate", challenge("invalid_request", "more than one Authorization header"))
		return identity.Identity{}, problem.Field(http.StatusBadRequest, "Authorization", "the header is given %d times; give it once", len(given))
	}
	if !strings.EqualFold(scheme, "Bearer") {
		return identity.Identity{}, g.refuse(w, r, nil)
	}
	who, err := g.Tokens.Verify(r.Context(), strings.TrimLeft(token, " "))
	if err != nil {
		return identity.Identity{}, g.refuse(w, r, err)
	}
	return who, nil
}

// refuse says why somebody is not known: by nothing that he showed, if err is nil.
func (g *Gate) refuse(w http.ResponseWriter, r *http.Request, err error) *problem.Error {
	refusal, ok := errors.AsType[*identity.RefusalError](err)
	switch {
	case err == nil:
		g.challenge(w, "", "")
		return problem.Field(http.StatusUnauthorized, "Authorization", "say who you are: %s", g.wanted())
	case ok:
		g.challenge(w, "invalid_token", refusal.Says)
		return problem.Field(http.StatusUnauthorized, "Authorization", "%s", refusal.Says)
	}
	g.Log.WarnContext(r.Context(), "callers cannot be identified", "error", err.Error())
	return away(w, "who you are cannot be found out just now: "+identity.ErrAway.Error()+"; try again")
}

func (g *Gate) wanted() string {
	const token, certificate = "send a token of the issuer as Authorization: Bearer", "show a client certificate"
	switch {
	case g.Peers == nil:
		return token
	case g.Tokens == nil:
		return certificate
	}
	return token + ", or " + certificate
}

// challenge says how a caller is to say who he is (RFC 6750, section 3). There is no registered scheme for certificates of TLS.
func (g *Gate) challenge(w http.ResponseWriter, code, says string) {
	if g.Tokens != nil {
		w.Header().Add("WWW-Authenticate", challenge(code, says))
	}
	if g.Peers != nil {
		w.Header().Add("WWW-Authenticate", `ClientCertificate realm="almanac"`)
	}
}

// challenge writes the text of a refusal, which is ours and holds neither quotes nor backslashes.
func challenge(code, says string) string {
	if code == "" {
		return `Bearer realm="almanac"`
	}
	return `Bearer realm="almanac", error="` + code + `", error_description="` + says + `"`
}

func away(w http.ResponseWriter, says string) *problem.Error {
	w.Header().Set("Retry-After", "5")
	return problem.New(http.StatusServiceUnavailable, "%s", says)
}
