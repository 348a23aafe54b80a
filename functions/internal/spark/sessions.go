package spark

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/almanac-data/almanac/functions/internal/spark/connect"
)

// sessions lends each query a session that no other has. One whose query came to its end serves the next: Spark's executors load classes
// and compile code anew for each session, which takes longer than many a weekly query. No query leaves anything in a session.
type sessions struct {
	client *connect.Client
	log    *slog.Logger

	mu   sync.Mutex
	idle []resting // the one that rests longest first
}

type resting struct {
	session *connect.Session
	since   time.Time
}

// Bounds of what is kept at rest. Spark forgets a session that rests for an hour, unless it is set to do so earlier.
const (
	mostResting = 4
	longestRest = 10 * time.Minute
)

// borrow lends a session that has rested, or else a new one. That one may be unknown to the server by now, which its first call tells: see unknown.
func (p *sessions) borrow(ctx context.Context) (s *connect.Session, rested bool, err error) {
	p.mu.Lock()
	n := len(p.idle)
	if n > 0 && time.Since(p.idle[n-1].since) < longestRest {
		s = p.idle[n-1].session
		p.idle = p.idle[:n-1]
	}
	p.mu.Unlock()
	if s != nil {
		return s, true, nil
	}
	s, err = p.open(ctx)
	return s, false, err
}

// open makes a new session.
func (p *sessions) open(ctx context.Context) (*connect.Session, error) {
	return p.client.Session(ctx, settings)
}

// giveBack takes a session whose query came to its end. Those that are too many, or have rested too long, are ended.
func (p *sessions) giveBack(ctx context.Context, s *connect.Session) {
	p.mu.Lock()
	p.idle = append(p.idle, resting{s, time.Now()})
	n := max(len(p.idle)-mostResting, 0)
	for n < len(p.idle) && time.Since(p.idle[n].since) > longestRest {
		n++
	}
	tired := p.idle[:n:n]
	p.idle = p.idle[n:]
	p.mu.Unlock()
	for _, r := range tired {
		p.end(ctx, r.session)
	}
}

// end ends a session. That it cannot is no failure of the query: the log tells of it, and Spark ends it after an hour.
func (p *sessions) end(ctx context.Context, s *connect.Session) {
	if err := s.Close(ctx); err != nil && !unknown(err) {
		p.log.WarnContext(ctx, "spark session not ended", "error", err.Error())
	}
}

// close ends all that rest, also after the context has ended.
func (p *sessions) close(ctx context.Context) {
	p.mu.Lock()
	all := p.idle
	p.idle = nil
	p.mu.Unlock()
	var work sync.WaitGroup
	for _, r := range all {
		work.Go(func() {
			p.end(ctx, r.session)
		})
	}
	work.Wait()
}

// unknown says that the server does not know the session any more, as it was started anew or lost patience.
func unknown(err error) bool {
	said, ok := errors.AsType[*connect.Error](err)
	return ok && strings.HasPrefix(said.Class, "INVALID_HANDLE.SESSION_")
}
