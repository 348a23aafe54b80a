// Package file reads and writes whole files of HDFS, over as many connections as it takes.
package file

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"github.com/almanac-data/almanac/functions/internal/hdfs/remote"
	"github.com/almanac-data/almanac/functions/internal/hdfs/session"
)

// Reader reads an open file. It has this very form so that a file system can be used without this package being imported.
type Reader = interface {
	io.ReadSeekCloser
	io.ReaderAt
	Stat() (fs.FileInfo, error)
}

// aheadBytes is what a read of less than half of that fetches: a Parquet footer, read in three steps from the end, costs one.
const aheadBytes = 256 << 10

// reader is an open file. Its methods may be called at once, and take turns: each has one connection.
type reader struct {
	session *session.Session
	at      string // its path
	name    string // in errors
	info    remote.Info

	mu     sync.Mutex
	client *session.Client
	source remote.Source // nil until it is needed again
	pos    int64
	ahead  []byte // of the file
	from   int64  // where ahead begins
	closed bool
}

// Open opens the file at a path for reading; errors call it by the name. The caller closes it.
func Open(s *session.Session, at, name string) (Reader, error) {
	r := &reader{session: s, at: at, name: name}
	if err := s.Try("open", name, func(bool) error { return r.open() }); err != nil {
		return nil, err
	}
	return r, nil
}

// open opens the file once more, and sees that it is the same.
func (r *reader) open() error {
	c, err := r.session.Borrow()
	if err != nil {
		return err
	}
	s, err := c.Open(r.at)
	if err != nil {
		r.session.Return(c, session.Broken(err))
		return err
	}
	info := s.Info()
	switch {
	case info.Folder:
		err = remote.NewError("FileNotFoundException", "is a folder")
	case r.info.ID != 0 && r.info.ID != info.ID:
		err = remote.NewError("FileNotFoundException", "was replaced by another file while it was read")
	default:
		r.client, r.source, r.info = c, s, info
		return nil
	}
	err = errors.Join(err, s.Close())
	r.session.Return(c, false)
	return err
}

// Stat describes the file as it was when it was opened.
func (r *reader) Stat() (fs.FileInfo, error) { return r.info, nil }

// Read reads on.
func (r *reader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, err := r.readAt(p, r.pos)
	r.pos += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// ReadAt reads len(p) bytes at the offset, or up to the end of the file and io.EOF.
func (r *reader) ReadAt(p []byte, off int64) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.readAt(p, off)
}

// Seek sets where Read goes on.
func (r *reader) Seek(offset int64, whence int) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += r.pos
	case io.SeekEnd:
		offset += r.info.Bytes
	}
	if offset < 0 || whence < io.SeekStart || whence > io.SeekEnd {
		return 0, session.Named("seek", r.name, fs.ErrInvalid)
	}
	r.pos = offset
	return offset, nil
}

func (r *reader) readAt(p []byte, off int64) (n int, err error) {
	switch {
	case r.closed:
		return 0, session.Named("read", r.name, fs.ErrClosed)
	case off < 0:
		return 0, session.Named("read", r.name, fs.ErrInvalid)
	case len(p) == 0:
		return 0, nil
	}
	for n < len(p) && off < r.info.Bytes {
		if off >= r.from && off < r.from+int64(len(r.ahead)) {
			m := copy(p[n:], r.ahead[off-r.from:])
			n, off = n+m, off+int64(m)
			continue
		}
		rest := p[n:min(int64(len(p)), int64(n)+r.info.Bytes-off)]
		if len(rest) < aheadBytes/2 {
			if err := r.fill(off); err != nil {
				return n, err
			}
			continue
		}
		m, err := r.fetch(rest, off)
		n, off = n+m, off+int64(m)
		if err != nil {
			return n, err
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// fill fetches what lies at the offset and behind it, or the end of the file.
func (r *reader) fill(off int64) error {
	r.from = max(0, min(off, r.info.Bytes-aheadBytes))
	buf := r.ahead[:0]
	if cap(buf) < aheadBytes {
		buf = make([]byte, 0, min(aheadBytes, r.info.Bytes))
	}
	r.ahead = nil
	n, err := r.fetch(buf[:min(aheadBytes, r.info.Bytes-r.from)], r.from)
	if err == nil {
		r.ahead = buf[:n]
	}
	return err
}

// fetch reads len(p) bytes that the file has, over as many connections as it takes.
func (r *reader) fetch(p []byte, off int64) (n int, err error) {
	err = r.session.Try("read", r.name, func(bool) error {
		if r.source == nil {
			if err := r.open(); err != nil {
				return err
			}
		}
		m, err := r.source.ReadAt(p[n:], off+int64(n))
		n += m
		if n == len(p) {
			return nil
		}
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		r.release(true)
		return fmt.Errorf("after %d of %d bytes at %d: %w", n, len(p), off, err)
	})
	return n, err
}

func (r *reader) release(bad bool) {
	if r.source == nil {
		return
	}
	err := r.source.Close()
	r.session.Return(r.client, bad || err != nil)
	r.client, r.source = nil, nil
}

// Close ends the reading. After that it is fs.ErrClosed.
func (r *reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return session.Named("close", r.name, fs.ErrClosed)
	}
	r.closed, r.ahead = true, nil
	r.release(false)
	return nil
}
