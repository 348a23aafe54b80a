package session

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"testing"

	"github.com/almanac-data/almanac/functions/internal/hdfs/remote"
)

func TestPassing(t *testing.T) {
	tests := map[string]struct {
		err  error
		want bool
	}{
		"nobody listens":                   {&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, true},
		"safe mode":                        {remote.NewError("org.apache.hadoop.hdfs.server.namenode.SafeModeException", "wait"), true},
		"standby":                          {remote.NewError("StandbyException", "not me"), true},
		"a right that is missing":          {remote.NewError("org.apache.hadoop.security.AccessControlException", "no"), false},
		"a certificate that has expired":   {&url.Error{Op: "Get", Err: &tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired}}}, false},
		"an authority that is not trusted": {&url.Error{Op: "Get", Err: &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}}, false},
		"a session that is closed":         {fs.ErrClosed, false},
		"HTTP where HTTPS is wanted":       {&url.Error{Op: "Get", Err: http.ErrSchemeMismatch}, false},
		"no TLS at all":                    {&url.Error{Op: "Get", Err: tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := Named("mkdir", ".", fmt.Errorf("gave up: %w", tt.err))
			if got := Passing(err); got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("Passing(%v) = %v, want %v", err, got, tt.want)
			}
		})
	}
}
