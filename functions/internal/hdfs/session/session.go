// Package session lends connections to HDFS to workers, one each, and tries again what may succeed a little later.
package session

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/almanac-data/almanac/functions/internal/hdfs/remote"
)

// Transport is one way to HDFS, for one worker at a time. It tries nothing again.
type Transport interface {
	Stat(name string) (remote.Info, error)
	List(name string) ([]remote.Info, error)
	Mkdirs(name string) error
	Replace(old, name string) error
	RenameNew(old, name string) error
	Delete(name string, all bool) error
	Create(name string) (remote.Sink, error)
	Open(name string) (remote.Source, error)
	Close()
}

// Session has the connections of a warehouse. It is safe for concurrent use; Close ends it.
type Session struct {
	patience time.Duration
	pool     *pool
}

// New returns a session whose operations are tried for as long as the patience. Nothing is dialled yet; dial is told how many clients have failed so
// far, so that it can begin with another NameNode: one that hangs accepts connections too.
func New(dial func(failed int) (Transport, error), patience time.Duration) *Session {
	return &Session{patience: patience, pool: &pool{dial: dial}}
}

// Patient is the same session with another patience.
func (s *Session) Patient(patience time.Duration) *Session {
	return &Session{patience: patience, pool: s.pool}
}

// Close ends every connection, also those that are lent.
func (s *Session) Close() { s.pool.close() }

// Borrow lends a client. The caller gives it back by Return.
func (s *Session) Borrow() (*Client, error) { return s.pool.get() }

// Return takes a client back; one that is broken is closed.
func (s *Session) Return(c *Client, broken bool) { s.pool.put(c, broken) }

// Try does something again until it succeeds, is refused, or the patience is over. It tells do whether an attempt before had no clear
// outcome: then the thing may have been done already, or may still be done while do runs. The operation and the name stand in the error.
func (s *Session) Try(op, name string, do func(unclear bool) error) error {
	end := time.Now().Add(s.patience)
	unclear := false
	for n := 0; ; n++ {
		err := do(unclear)
		if err == nil {
			return nil
		}
		unclear = unclear || remote.Unclear(err)
		wait := backoff(n)
		switch {
		case !Passing(err):
		case time.Now().Add(wait).Before(end):
			time.Sleep(wait)
			continue
		case unclear:
			err = fmt.Errorf("gave up after %s, it may or may not have been done: %w", s.patience, err)
		default:
			err = fmt.Errorf("gave up after %s: %w", s.patience, err)
		}
		return Named(op, name, err)
	}
}

// Named is the error with the operation and the name of the file, unless it has some.
func Named(op, name string, err error) error {
	if _, named := errors.AsType[*fs.PathError](err); named || err == nil {
		return err
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// Passing says whether the same may succeed a little later. A certificate that is not trusted, and a port that does not speak TLS, are for a
// person to mend.
func Passing(err error) bool {
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	_, other := errors.AsType[tls.RecordHeaderError](err)
	if untrusted || other || errors.Is(err, http.ErrSchemeMismatch) || errors.Is(err, fs.ErrClosed) {
		return false
	}
	e, answered := errors.AsType[*remote.Error](err)
	return !answered || e.Passing()
}

// backoff is 50 to 100 ms at first, and grows to some 5 s.
func backoff(n int) time.Duration {
	most := min(100*time.Millisecond<<min(n, 6), 5*time.Second)
	return most/2 + rand.N(most/2) //nolint:gosec // a backoff needs no secret
}

// With lends do a client, once.
func (s *Session) With(do func(t Transport) error) error {
	c, err := s.Borrow()
	if err != nil {
		return err
	}
	err = do(c)
	s.Return(c, Broken(err))
	return err
}

// Broken says whether a client that got the error is of no more use.
func Broken(err error) bool {
	_, answered := errors.AsType[*remote.Error](err)
	return err != nil && !answered
}

// Simply tries something that can be done twice without harm.
func (s *Session) Simply(op, name string, do func(t Transport) error) error {
	return s.Try(op, name, func(bool) error { return s.With(do) })
}

// Stat describes a path.
func (s *Session) Stat(op, name, at string) (info remote.Info, err error) {
	err = s.Simply(op, name, func(t Transport) error {
		info, err = t.Stat(at)
		return err
	})
	return info, err
}
