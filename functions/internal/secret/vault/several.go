package vault

import (
	"net/http"
	"net/url"
	"sync/atomic"
)

// several sends what is for the first server to the one that answered last, and, if that is away or sealed, to the next. Servers of one store are equals: a
// standby passes a request on to the leader, or says where that is.
type several struct {
	next    http.RoundTripper
	servers []*url.URL
	good    atomic.Int64 // which answered last
}

func (s *several) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host != s.servers[0].Host || len(s.servers) == 1 {
		return s.next.RoundTrip(req)
	}
	first := int(s.good.Load())
	for i := 0; ; i++ {
		at := (first + i) % len(s.servers)
		again, err := s.to(req, at)
		if err != nil {
			return nil, err
		}
		resp, err := s.next.RoundTrip(again)
		if err == nil && resp.StatusCode != http.StatusServiceUnavailable { // which is what one says that is sealed, or of no store yet
			s.good.Store(int64(s.leader(resp, at)))
			return resp, nil
		}
		if i == len(s.servers)-1 || req.Context().Err() != nil {
			return resp, err
		}
		if err == nil {
			_ = resp.Body.Close()
		}
	}
}

// to is a request for another server, with its body from the beginning.
func (s *several) to(req *http.Request, at int) (*http.Request, error) {
	again := req.Clone(req.Context())
	again.URL.Scheme, again.URL.Host, again.Host = s.servers[at].Scheme, s.servers[at].Host, ""
	if req.GetBody == nil {
		return again, nil
	}
	body, err := req.GetBody()
	again.Body = body
	return again, err
}

// leader is the server that a standby points to, or else the one that answered.
func (s *several) leader(resp *http.Response, at int) int {
	to, err := resp.Location()
	if err != nil {
		return at
	}
	for i, server := range s.servers {
		if server.Host == to.Host {
			return i
		}
	}
	return at
}
