package loopback

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestRefuse(t *testing.T) {
	for host, ours := range map[string]bool{
		"127.0.0.1:8080": true, "127.8.8.8": true, "localhost:1": true, "localhost": true, "[::1]:8080": true, "[::1]": true, "::1": true,
		"": false, "almanac.example": false, "localhost.example:80": false, "127.0.0.1.example": false, "10.0.0.1": false, "0.0.0.0:8080": false, "[::]:1": false,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = host
		p := Refuse(r)
		if (p == nil) != ours || p != nil && (p.Status != http.StatusMisdirectedRequest || p.Field != "Host") {
			t.Errorf("%q: %+v, want that it is taken: %v", host, p, ours)
		}
	}
}

func TestOnly(t *testing.T) {
	for address, want := range map[string]bool{"127.0.0.1:1": true, "[::1]:1": true, "127.8.8.8:1": true, "0.0.0.0:1": false, "10.0.0.1:1": false, "[::]:1": false} {
		tcp, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if got := Only(tcp); got != want {
			t.Errorf("Only(%s) = %v, want %v", address, got, want)
		}
	}
	if Only(&net.UnixAddr{Name: "/s"}) {
		t.Error("a socket that is no TCP has no Host to look at")
	}
}
