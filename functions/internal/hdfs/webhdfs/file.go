package webhdfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"

	"github.com/almanac-data/almanac/functions/internal/hdfs/remote"
)

// source reads a file: one request for a range, or one that goes on where the last one ended.
type source struct {
	client *Client
	name   string
	info   remote.Info
	body   io.ReadCloser // from offset on
	cancel context.CancelFunc
	offset int64
}

// Open opens a file for reading.
func (c *Client) Open(name string) (remote.Source, error) {
	info, err := c.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Folder {
		return nil, remote.NewError("FileNotFoundException", name+" is a folder")
	}
	return &source{client: c, name: name, info: info, offset: -1}, nil
}

// Info describes the file.
func (s *source) Info() remote.Info { return s.info }

// ReadAt reads len(p) bytes at the offset, or up to the end of the file and io.EOF.
func (s *source) ReadAt(p []byte, off int64) (int, error) {
	left := s.info.Bytes - off
	if left <= 0 {
		return 0, io.EOF
	}
	want := p[:min(int64(len(p)), left)]
	n, err := 0, io.EOF
	if s.body != nil && off == s.offset {
		n, err = io.ReadFull(s.body, want)
	}
	if n == 0 && errors.Is(err, io.EOF) {
		// Who comes back to where he left off reads on to the end; who jumps wants just this range.
		length := int64(len(want))
		if off == s.offset || off == 0 {
			length = left
		}
		if err := s.open(off, length); err != nil {
			return 0, err
		}
		n, err = io.ReadFull(s.body, want)
	}
	s.offset = off + int64(n)
	if err != nil {
		s.stop()
		if errors.Is(err, io.EOF) { // the file is shorter than it was
			err = io.ErrUnexpectedEOF
		}
		return n, fmt.Errorf("read %s: %w", s.name, err)
	}
	if len(want) < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (s *source) open(off, length int64) error {
	s.stop()
	query := url.Values{"op": {"OPEN"}, "offset": {strconv.FormatInt(off, 10)}, "length": {strconv.FormatInt(length, 10)}}
	ctx, cancel := context.WithCancel(context.Background())
	body, err := s.client.openAt(ctx, s.name, query)
	if err != nil {
		cancel()
		return err
	}
	s.body, s.cancel, s.offset = body, cancel, off
	return nil
}

// openAt asks the NameNode where to read, and reads there.
func (c *Client) openAt(ctx context.Context, name string, query url.Values) (io.ReadCloser, error) {
	to, err := c.redirect(ctx, http.MethodGet, name, query)
	if err != nil {
		return nil, err
	}
	resp, err := c.send(ctx, http.MethodGet, to, nil)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("read from DataNode: status %s", resp.Status), resp.Body.Close())
	}
	return resp.Body, nil
}

// redirect asks the NameNode for the DataNode to go to.
func (c *Client) redirect(ctx context.Context, method, name string, query url.Values) (string, error) {
	resp, err := c.ask(ctx, method, name, query)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return "", err
	}
	to, err := resp.Location()
	if err != nil {
		return "", fmt.Errorf("NameNode answers %s and no DataNode: %w", resp.Status, err)
	}
	return to.String(), nil
}

// stop ends the present request.
func (s *source) stop() {
	if s.body == nil {
		return
	}
	s.cancel()
	_ = s.body.Close() // it was cancelled
	s.body = nil
}

// Close ends the reading.
func (s *source) Close() error {
	s.stop()
	return nil
}

// sink uploads a file: the DataNode that takes it runs the pipeline, and mends it when another one dies.
type sink struct {
	pipe   *io.PipeWriter
	cancel context.CancelFunc
	result chan error // of the request; closed after it
	err    error
}

// Create makes a file that must not be there, and the folders above it. If the file comes to be there meanwhile, that shows
// with Write or Commit: it is the DataNode that makes it.
func (c *Client) Create(name string) (remote.Sink, error) {
	if _, err := c.Stat(name); err == nil {
		return nil, remote.NewError("FileAlreadyExistsException", name)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	to, err := c.redirect(ctx, http.MethodPut, name, url.Values{
		"op": {"CREATE"}, "overwrite": {"false"}, "permission": {octal(c.cfg.Modes.File)},
		"replication": {strconv.Itoa(c.cfg.Replication)}, "blocksize": {strconv.FormatInt(c.cfg.BlockSize, 10)},
	})
	if err != nil {
		cancel()
		return nil, err
	}
	r, w := io.Pipe()
	s := &sink{pipe: w, cancel: cancel, result: make(chan error, 1)}
	go func() {
		defer close(s.result)
		resp, err := c.send(ctx, http.MethodPut, to, r)
		if err == nil {
			if resp.StatusCode != http.StatusCreated {
				err = fmt.Errorf("write to DataNode: status %s", resp.Status)
			}
			err = errors.Join(err, resp.Body.Close())
		}
		s.result <- err
		if err == nil {
			err = io.ErrClosedPipe
		}
		_ = r.CloseWithError(err) // ends a Write that waits
	}()
	return s, nil
}

// Write adds bytes. That it returns means little before Commit does.
func (s *sink) Write(p []byte) (int, error) {
	if s.pipe == nil {
		return 0, s.err
	}
	n, err := s.pipe.Write(p)
	if err != nil { // the request is over; it says why
		s.pipe = nil
		if s.err = <-s.result; s.err == nil {
			s.err = errors.New("DataNode answered before it had the whole file")
		}
		s.cancel()
		err = s.err
	}
	return n, err
}

// Commit ends the upload and waits for the DataNode's answer.
func (s *sink) Commit() error {
	if s.pipe == nil {
		return s.err
	}
	_ = s.pipe.Close() // always nil
	s.err, s.pipe = <-s.result, nil
	s.cancel()
	return s.err
}

// Abort breaks the upload off. The DataNode may close what it has of the file.
func (s *sink) Abort() {
	if s.pipe == nil {
		return
	}
	s.cancel()
	_ = s.pipe.CloseWithError(context.Canceled)
	s.err, s.pipe = <-s.result, nil
	if s.err == nil {
		s.err = context.Canceled
	}
}
