package connect

import (
	"context"
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
)

func TestPassing(t *testing.T) {
	tests := map[string]struct {
		err  error
		want bool
	}{
		"nobody listens":                 {&Error{Code: codes.Unavailable, Detail: "connection error: connect: connection refused"}, true},
		"no answer in time":              {fmt.Errorf("%w: %w", context.DeadlineExceeded, &Error{Code: codes.DeadlineExceeded}), true},
		"a token that is wrong":          {&Error{Code: codes.Unauthenticated, Detail: "no"}, false},
		"a certificate that has expired": {&Error{Code: codes.Unavailable, Detail: "authentication handshake failed: tls: failed to verify certificate: x509: certificate has expired"}, false},
		"a port without TLS":             {&Error{Code: codes.Unavailable, Detail: "authentication handshake failed: tls: first record does not look like a TLS handshake"}, false},
		"a server that is too old":       {fmt.Errorf("spark is version 3.5.0, and must be 4.0 or later"), false},
		"a mistake":                      {&Error{Class: "PARSE_SYNTAX_ERROR", State: "42601", Code: codes.Internal}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Passing(tt.err); got != tt.want {
				t.Errorf("Passing(%v) = %v, want %v", tt.err, got, tt.want)
			}
		})
	}
}
