package file

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"

	"github.com/almanac-data/almanac/functions/internal/hdfs/remote"
	"github.com/almanac-data/almanac/functions/internal/hdfs/session"
)

// Writer writes an open file. It has this very form so that a file system can be used without this package being imported.
type Writer = interface {
	io.WriteCloser
	Sync() error
}

// heldBytes is how much of a file is kept until it is written. A file that is not larger, such as Iceberg metadata, is written
// again as a whole when a DataNode dies; a larger one fails, and its writer begins anew: the library cannot mend a pipeline.
const heldBytes = 4 << 20

// removePatience is for how long it is tried to delete what an attempt has left.
const removePatience = time.Second

// writer is a file in the making.
type writer struct {
	session *session.Session
	at      string // path that it gets
	name    string // in errors
	held    []byte // while there is no sink

	client *session.Client // of the sink
	sink   remote.Sink
	as     string   // path that the sink writes to
	asides []string // paths that attempts wrote to beside it
	bytes  int64    // that the sink got
	taken  bool     // the name is

	err    error // of what went wrong, or io.EOF when the file is whole
	closed bool
}

// Create makes or truncates the file at a path, and the folders above it; errors call it by the name. What is wrong with the name may show only with Sync or Close. The
// file is whole and durable after Sync, and takes no more bytes then. After an error nothing is left of it, if that can be had; who tries
// again does so under another name.
func Create(s *session.Session, at, name string) Writer {
	return &writer{session: s, at: at, name: name}
}

// Write adds bytes.
func (w *writer) Write(p []byte) (int, error) {
	if w.closed || w.err != nil {
		return 0, w.refuse("write")
	}
	if w.sink == nil && len(w.held)+len(p) <= heldBytes {
		w.held = append(w.held, p...)
		return len(p), nil
	}
	if w.sink == nil {
		if err := w.session.Try("create", w.name, func(bool) error { return w.begin() }); err != nil {
			return 0, w.fail(err)
		}
		w.held = nil
	}
	n, err := w.sink.Write(p)
	w.bytes += int64(n)
	if err != nil {
		return n, w.fail(session.Named("write", w.name, err))
	}
	return n, nil
}

// begin makes the file and gives it what is held.
func (w *writer) begin() error {
	c, err := w.session.Borrow()
	if err != nil {
		return err
	}
	s, err := w.create(c)
	if err != nil {
		w.session.Return(c, session.Broken(err))
		return err
	}
	w.client, w.sink, w.bytes = c, s, int64(len(w.held))
	if _, err = s.Write(w.held); err != nil {
		w.release(err)
	}
	return err
}

// create makes an empty file. If the name is taken, be it by the file of an attempt whose answer was lost, the new one is written
// beside it and renamed when it is whole: a delete whose answer is lost could reach the file that was meant to stay.
func (w *writer) create(t session.Transport) (remote.Sink, error) {
	if w.as = w.at; w.taken {
		return w.createAside(t)
	}
	s, err := t.Create(w.as)
	if errors.Is(err, fs.ErrNotExist) {
		if err := t.Mkdirs(path.Dir(w.as)); err != nil {
			return nil, err
		}
		s, err = t.Create(w.as)
	}
	if errors.Is(err, fs.ErrExist) {
		return w.createAside(t)
	}
	return s, err
}

func (w *writer) createAside(t session.Transport) (remote.Sink, error) {
	w.as = path.Join(path.Dir(w.at), ".tmp-"+rand.Text())
	w.asides = append(w.asides, w.as)
	return t.Create(w.as)
}

// Sync makes the file whole and durable: HDFS has no lesser way that the library knows.
func (w *writer) Sync() error {
	if w.closed || w.err != nil {
		return w.refuse("sync")
	}
	err := w.finish()
	if err == nil && w.as != w.at {
		err = Move(w.session, w.as, w.at, w.name, session.Transport.Replace)
	}
	if err != nil {
		return w.fail(err)
	}
	if n := len(w.asides); n > 1 { // the last has been renamed
		w.remove(w.asides[:n-1]...)
	}
	w.err, w.held = io.EOF, nil
	return nil
}

// finish ends the file. One that is held is written as often as need be.
func (w *writer) finish() error {
	if w.sink != nil {
		return w.commit()
	}
	return w.session.Try("write", w.name, func(bool) error {
		err := w.begin()
		if err == nil {
			err = w.sink.Commit()
			w.release(err)
		}
		if errors.Is(err, fs.ErrExist) { // by an attempt whose request came late
			w.taken = true
			return fmt.Errorf("the name was taken meanwhile: %s", err.Error())
		}
		return err
	})
}

// commit ends the file that cannot be written again. When the answer is lost it looks whether the NameNode knows all bytes of it: it
// counts those of the last block only once the writer has said that the DataNodes have them.
func (w *writer) commit() error {
	err := w.sink.Commit()
	w.release(err)
	if remote.Unclear(err) {
		if info, lookErr := w.session.Stat("write", w.name, w.as); lookErr == nil && info.Bytes == w.bytes {
			return nil
		}
	}
	return session.Named("write", w.name, err)
}

// release gives the client back. One with a file that is not whole is closed, or it would renew its lease for ever.
func (w *writer) release(err error) {
	if w.sink == nil {
		return
	}
	if err != nil {
		w.sink.Abort()
	}
	w.session.Return(w.client, err != nil)
	w.client, w.sink = nil, nil
}

// fail deletes what there is of the file.
func (w *writer) fail(err error) error {
	w.release(err)
	w.err, w.held = err, nil
	w.remove(w.asides...)
	if w.as == w.at {
		w.remove(w.at)
	}
	return err
}

// remove deletes what attempts have left, if that can be had soon: a sweep finds the rest.
func (w *writer) remove(names ...string) {
	for _, name := range names {
		_ = w.session.Patient(removePatience).Simply("remove", name, func(t session.Transport) error { return t.Delete(name, false) })
	}
}

func (w *writer) refuse(op string) error {
	err := w.err
	if w.closed || err == io.EOF { //nolint:errorlint // the mark of a whole file, set here
		err = fs.ErrClosed
	}
	return session.Named(op, w.name, err)
}

// Close ends the file, as Sync does if that was not called. After that it is fs.ErrClosed.
func (w *writer) Close() error {
	if w.closed {
		return w.refuse("close")
	}
	var err error
	if w.err == nil {
		err = w.Sync()
	}
	w.closed = true
	return err
}
