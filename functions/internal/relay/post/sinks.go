package post

import (
	"sync"
	"time"
)

// Sinks are the URLs of the instances of one function. It is safe for concurrent use.
type Sinks struct {
	urls []string

	mu    sync.Mutex
	turn  int
	until map[string]time.Time // when one that did not answer is asked again
}

// NewSinks are sinks of which none rests.
func NewSinks(urls ...string) *Sinks { return &Sinks{urls: urls, until: map[string]time.Time{}} }

// restTime is how long a sink that did not answer is passed over.
const restTime = 5 * time.Second

// next is the sink whose turn it is. One that rests is passed over, unless all do.
func (s *Sinks) next(now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range s.urls {
		url := s.urls[s.turn%len(s.urls)]
		s.turn++
		if now.After(s.until[url]) {
			return url
		}
	}
	s.turn++
	return s.urls[s.turn%len(s.urls)]
}

// rest passes over a sink for a while.
func (s *Sinks) rest(url string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until[url] = now.Add(restTime)
}
