// Package loopback knows the names of this machine. A page in a browser must not reach a server that asks nobody who he is by a name that it made
// point here (DNS rebinding).
package loopback

import (
	"net"
	"net/http"
	"strings"

	"github.com/almanac-data/almanac/functions/internal/problem"
)

// Only says whether nobody but this machine reaches what listens at an address.
func Only(address net.Addr) bool {
	tcp, ok := address.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// Refuse is the answer to a request that came by another name than this machine's own; nil if it came by one of those.
func Refuse(r *http.Request) *problem.Error {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	if host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return problem.Field(http.StatusMisdirectedRequest, "Host", "this server answers to 127.0.0.1, [::1] and localhost only, as it asks nobody who he is")
}
