package hdfs

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"time"

	"github.com/almanac-data/almanac/functions/internal/hdfs/remote"
)

// try does something again until it succeeds, is refused, or the patience is over. It tells do whether an attempt before had no clear
// outcome: then the thing may have been done already, or may still be done while do runs.
func (f *FS) try(op, name string, do func(unclear bool) error) error {
	end := time.Now().Add(f.patience)
	unclear := false
	for n := 0; ; n++ {
		err := do(unclear)
		if err == nil {
			return nil
		}
		unclear = unclear || remote.Unclear(err)
		wait := backoff(n)
		switch {
		case !again(err):
		case time.Now().Add(wait).Before(end):
			time.Sleep(wait)
			continue
		case unclear:
			err = fmt.Errorf("gave up after %s, it may or may not have been done: %w", f.patience, err)
		default:
			err = fmt.Errorf("gave up after %s: %w", f.patience, err)
		}
		return f.error(op, name, err)
	}
}

// error names the operation and the file, unless the error does.
func (f *FS) error(op, name string, err error) error {
	if _, named := errors.AsType[*fs.PathError](err); named || err == nil {
		return err
	}
	return &fs.PathError{Op: op, Path: f.URI(name), Err: err}
}

// again says whether the same may succeed a little later.
func again(err error) bool {
	if errors.Is(err, fs.ErrClosed) {
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

// with lends do a client.
func (f *FS) with(do func(t transport) error) error {
	c, err := f.clients.get()
	if err != nil {
		return err
	}
	err = do(c)
	f.clients.put(c, broken(err))
	return err
}

// broken says whether a client that got the error is of no more use.
func broken(err error) bool {
	_, answered := errors.AsType[*remote.Error](err)
	return err != nil && !answered
}

// simply tries something that can be done twice without harm.
func (f *FS) simply(op, name string, do func(t transport) error) error {
	return f.try(op, name, func(bool) error { return f.with(do) })
}
