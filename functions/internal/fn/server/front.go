package server

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/almanac-data/almanac/functions/internal/loopback"
)

// Config is the part of the configuration that is about the server.
type Config struct {
	Host    string        `env:"ALMANAC_HOST"`              // loopback if empty; every interface in a Knative service (K_SERVICE)
	Port    uint16        `env:"PORT,default=8080"`         // Knative sets it
	Quiet   time.Duration `env:"ALMANAC_QUIET,default=1s"`  // without a request before the server stops listening
	Grace   time.Duration `env:"ALMANAC_GRACE,default=20s"` // for work that has begun; it is cancelled then
	Timeout time.Duration `env:"ALMANAC_TIMEOUT,default=5m"`
}

// Check says what is wrong with the times.
func (c Config) Check() error {
	if c.Quiet < 0 || c.Grace < 0 || c.Timeout <= 0 {
		return fmt.Errorf("ALMANAC_QUIET (%s), ALMANAC_GRACE (%s) must not be negative and ALMANAC_TIMEOUT (%s) longer than 0", c.Quiet, c.Grace, c.Timeout)
	}
	return nil
}

// Front is what a listener shows to strangers. The zero value is plain HTTP, with metrics for everyone; on loopback for everyone who calls this machine
// by a name of its own.
type Front struct {
	TLS     *tls.Config                     // nil for plain HTTP
	Metrics func(http.Handler) http.Handler // lets those in who may read /metrics; nil for everyone. Where it is set the handler has a guard of its own
}

// Guard keeps foreign names from all that listens on loopback and has no guard of its own. /healthz says nothing to anybody.
func (f Front) Guard(l net.Listener, next http.Handler) http.Handler {
	if f.Metrics != nil || !loopback.Only(l.Addr()) {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := loopback.Refuse(r); p != nil && r.URL.Path != "/healthz" {
			p.Write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Serve answers on l by TLS, if the front has it.
func (f Front) Serve(s *http.Server, l net.Listener) error {
	if f.TLS == nil {
		return s.Serve(l)
	}
	s.TLSConfig = f.TLS.Clone()
	return s.ServeTLS(l, "", "")
}
