package oidc

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/almanac-data/almanac/functions/internal/identity"
)

const (
	leeway   = 30 * time.Second // of clocks that differ
	maxToken = 16 << 10
)

// algorithms are those whose keys only the issuer holds. With HMAC, whoever can check a token can make one.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// types are what the header typ of a token may say (RFC 9068, RFC 7519). Others are for other uses, such as logging out.
var types = []string{"", "jwt", "at+jwt", "application/at+jwt"}

// Verifier judges tokens. It is safe for concurrent use.
type Verifier struct {
	config Config
	now    func() time.Time
	ring   *ring
}

// Open fetches the keys of the issuer. Of an error, Passing says whether it is worth trying again.
func Open(ctx context.Context, c Config, now func() time.Time, log *slog.Logger) (*Verifier, error) {
	v := &Verifier{config: c, now: now}
	v.ring = &ring{fetch: v.fetch, now: now, warn: func(err error) {
		log.Warn("the keys of the issuer cannot be fetched; those that are here go on for a day", "issuer", c.Issuer, "error", err.Error())
	}}
	if err := v.ring.refresh(ctx); err != nil {
		return nil, err
	}
	return v, nil
}

// Close waits for what is under way, for a few seconds at most.
func (v *Verifier) Close() { v.ring.tasks.Wait() }

// Ready says why tokens cannot be judged: the issuer has been away for more than a day.
func (v *Verifier) Ready(ctx context.Context) error { return v.ring.usable(ctx) }

// Verify tells who holds a token, by its signature and its claims iss, aud, exp, nbf and iat. The error is an *identity.RefusalError, or wraps
// identity.ErrAway.
func (v *Verifier) Verify(ctx context.Context, token string) (identity.Identity, error) {
	parsed, err := parse(token)
	if err != nil {
		return identity.Identity{}, err
	}
	claims, more, err := v.open(ctx, parsed)
	if err != nil {
		return identity.Identity{}, err
	}
	if err := v.judge(claims); err != nil {
		return identity.Identity{}, err
	}
	return identity.Identity{Issuer: claims.Issuer, Subject: claims.Subject, Groups: words(more[v.config.Groups])}, nil
}

func refuse(says string) error { return &identity.RefusalError{Says: says} }

func parse(token string) (*jwt.JSONWebToken, error) {
	if len(token) > maxToken {
		return nil, refuse("the token is larger than 16 KiB")
	}
	parsed, err := jwt.ParseSigned(token, algorithms)
	if _, ok := errors.AsType[*jose.ErrUnexpectedSignatureAlgorithm](err); ok {
		return nil, refuse("the token is signed by an algorithm that is not taken: RS, PS and ES with 256, 384 or 512 bits, and EdDSA are")
	}
	if err != nil || len(parsed.Headers) != 1 {
		return nil, refuse("the token is no JSON Web Token of three parts")
	}
	typ, given := parsed.Headers[0].ExtraHeaders[jose.HeaderType]
	if text, ok := typ.(string); given && !ok || !slices.Contains(types, strings.ToLower(text)) {
		return nil, refuse("the token is of a type for another use; an access token or an ID token is taken")
	}
	return parsed, nil
}

// open checks the signature.
func (v *Verifier) open(ctx context.Context, token *jwt.JSONWebToken) (claims jwt.Claims, more map[string]any, err error) {
	keys, err := v.ring.find(ctx, token.Headers[0].KeyID, token.Headers[0].Algorithm)
	if err != nil {
		return claims, nil, err
	}
	if len(keys) == 0 {
		return claims, nil, refuse("the token is signed by a key that its issuer does not publish, or not yet: try again in a few seconds if it is new")
	}
	for _, key := range keys {
		if token.Claims(key.Key) != nil {
			continue
		}
		if err := token.UnsafeClaimsWithoutVerification(&claims, &more); err != nil {
			return claims, nil, refuse("the claims of the token cannot be read")
		}
		return claims, more, nil
	}
	return claims, nil, refuse("the signature of the token is wrong")
}

func (v *Verifier) judge(c jwt.Claims) error {
	if c.Expiry == nil || c.Subject == "" {
		return refuse("the token lacks the claim exp or sub")
	}
	err := c.ValidateWithLeeway(jwt.Expected{Issuer: v.config.Issuer, AnyAudience: jwt.Audience{v.config.Audience}, Time: v.now()}, leeway)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jwt.ErrExpired):
		return refuse("the token has expired")
	case errors.Is(err, jwt.ErrNotValidYet), errors.Is(err, jwt.ErrIssuedInTheFuture):
		return refuse("the token is not valid yet")
	case errors.Is(err, jwt.ErrInvalidIssuer):
		return refuse("the token is of another issuer")
	case errors.Is(err, jwt.ErrInvalidAudience):
		return refuse("the token is for another audience")
	}
	return refuse("the claims of the token do not hold")
}

// words reads a claim that is a list of texts, or one text of words.
func words(claim any) []string {
	switch c := claim.(type) {
	case string:
		return strings.Fields(c)
	case []any:
		var all []string
		for _, one := range c {
			if text, ok := one.(string); ok {
				all = append(all, text)
			}
		}
		return all
	}
	return nil
}
