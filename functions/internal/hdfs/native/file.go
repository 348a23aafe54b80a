package native

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/colinmarc/hdfs/v2"

	"github.com/almanac-data/almanac/functions/internal/hdfs/remote"
)

// source reads a file. The library drops its connection to the DataNode whenever it seeks, even to where it is: so it is told
// to seek only if need be.
type source struct {
	file   *hdfs.FileReader
	info   remote.Info
	offset int64
}

// Open opens a file for reading.
func (c *Client) Open(name string) (remote.Source, error) {
	f, err := c.client.Open(name)
	if err != nil {
		return nil, translate(err)
	}
	return &source{file: f, info: describe(f.Stat())}, nil
}

// Info describes the file.
func (s *source) Info() remote.Info { return s.info }

// ReadAt reads len(p) bytes at the offset, or up to the end of the file and io.EOF.
func (s *source) ReadAt(p []byte, off int64) (int, error) {
	if off >= s.info.Bytes {
		return 0, io.EOF
	}
	if err := s.seek(off); err != nil {
		return 0, translate(err)
	}
	n, err := s.fill(p)
	s.offset += int64(n)
	if errors.Is(err, io.ErrUnexpectedEOF) && s.offset == s.info.Bytes {
		return n, io.EOF
	}
	if errors.Is(err, io.EOF) { // the file is shorter than it was
		err = io.ErrUnexpectedEOF
	}
	return n, translate(err)
}

// gapBytes is how far ahead what lies between is read and thrown away, in place of a new connection.
const gapBytes = 64 << 10

// seek goes to an offset. The library must not skip by itself: where it does, it forgets to count the bytes (v2.4.0, BlockReader.Skip), and when the
// DataNode then fails it goes on with another one as many bytes too early, without an error.
func (s *source) seek(off int64) error {
	if gap := off - s.offset; gap > 0 && gap <= gapBytes {
		n, err := s.fill(make([]byte, gap))
		s.offset += int64(n)
		return err
	}
	if off == s.offset {
		return nil
	}
	if _, err := s.file.Seek(0, io.SeekCurrent); err != nil { // ends the connection, so that nothing can be skipped
		return err
	}
	at, err := s.file.Seek(off, io.SeekStart)
	s.offset = at
	return err
}

// pieceBytes is less than the least dfs.bytes-per-checksum. A read of a whole chunk and more gets the bytes from the library, and no error, when
// they do not have their checksum (v2.4.0, blockReadStream.Read returns both and BlockReader.Read drops the error); a read of less
// does not, and goes on with another DataNode.
const pieceBytes = 511

// fill reads len(p) bytes in pieces, as io.ReadFull does.
func (s *source) fill(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = s.file.Read(p[n:min(len(p), n+pieceBytes)])
		n += m
	}
	if n == len(p) {
		return n, nil
	}
	if n > 0 && errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Close ends the reading.
func (s *source) Close() error { return s.file.Close() }

// sink writes a file.
type sink struct {
	client *Client
	file   *hdfs.FileWriter
	done   bool
}

// Create makes a file that must not be there, in a folder that must.
func (c *Client) Create(name string) (remote.Sink, error) {
	f, err := c.client.CreateFile(name, c.cfg.Replication, c.cfg.BlockSize, c.cfg.Modes.File)
	if err != nil {
		return nil, translate(err)
	}
	return &sink{client: c, file: f}, nil
}

// Write adds bytes. That it returns means little before Commit does.
func (s *sink) Write(p []byte) (int, error) {
	if len(p) == 0 { // the library would begin a block, and wait for it
		return 0, nil
	}
	n, err := s.file.Write(p)
	return n, translate(err)
}

// Commit closes the file. While the NameNode has not heard of the last block from a DataNode it asks again, as Java does
// (dfs.client.block.write.locateFollowingBlock), for as long as the time-out.
func (s *sink) Commit() error {
	err := s.file.Close()
	for wait, waited := 2*time.Millisecond, time.Duration(0); hdfs.IsErrReplicating(err); wait = min(2*wait, time.Second) {
		if waited > s.client.cfg.Timeout {
			return fmt.Errorf("close file: no DataNode has reported its last block for %s: %w", waited, err)
		}
		time.Sleep(wait)
		waited += wait
		err = s.file.Close()
	}
	if err == nil {
		s.done = true
	}
	return translate(err)
}

// Abort closes the client: as long as it lives it renews the lease of every file that it has not closed.
func (s *sink) Abort() {
	if !s.done {
		s.client.Close()
	}
}
