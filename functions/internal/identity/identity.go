// Package identity says who asks: what a token or a certificate proves of its holder.
package identity

import "errors"

// Identity is who somebody is. The zero value is nobody.
type Identity struct {
	Issuer  string   // of the token; of a certificate, the name of the authority that signed it
	Subject string   // as the issuer calls the holder; of a certificate, the first of its names
	Groups  []string // that a token puts its holder into
	Names   []string // that a certificate is for: DNS names and URIs, or else its common name; nil for the holder of a token
}

// RefusalError is why a credential proves nothing. Its text goes to whoever shows the credential, so it never holds a part of one.
type RefusalError struct{ Says string }

func (r *RefusalError) Error() string { return r.Says }

// ErrAway says that a credential cannot be judged just now, as its issuer is away.
var ErrAway = errors.New("the issuer of tokens does not answer")
