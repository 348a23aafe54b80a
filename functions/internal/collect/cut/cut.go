// Package cut cuts a stream of source bytes into blocks that end at record ends.
package cut

import (
	"errors"
	"io"
	"sync"

	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/record"
)

// smallest is the size of the buffer for a short stream.
const smallest = 64 << 10

// Cutter cuts a stream that starts at a record start into blocks that end at record ends.
//
// A block has at most target bytes; if the first record is longer, at most twice as many; if it is longer still, it is cut into
// fragments. Where the blocks are cut depends on the bytes from the start on alone, not on how they are read, so that a reader
// that starts at a cut makes the same blocks as one that comes from further ahead.
type Cutter struct {
	format dataset.Format
	source io.Reader
	target int

	buf        []byte
	start, end int // of the bytes that are read and not handed out yet
	eof        bool
	inside     bool // the last block is a fragment
}

// New returns a cutter of a stream.
func New(format dataset.Format, source io.Reader, target int) *Cutter {
	return &Cutter{format: format, source: source, target: target}
}

// buffers holds the memory of cutters that are closed.
var buffers sync.Pool

// Close gives the cutter's memory to another one. What Next has returned is not valid any more. It does not close the stream.
func (c *Cutter) Close() {
	if buf := c.buf; buf != nil {
		buffers.Put(&buf)
	}
	c.buf, c.start, c.end, c.eof = nil, 0, 0, true
}

// Inside says that the last block is a fragment: the next one goes on with its record.
func (c *Cutter) Inside() bool { return c.inside }

// Next returns the next block, or io.EOF. The bytes are valid until the next call.
func (c *Cutter) Next() ([]byte, error) {
	if c.inside {
		return c.rest()
	}
	ready, all, err := c.ready(c.target)
	if err != nil || all {
		return c.last(ready, err)
	}
	if n := record.Cut(c.format, ready, false); n > 0 {
		return c.take(n), nil
	}
	if ready, all, err = c.ready(2 * c.target); err != nil || all {
		return c.last(ready, err)
	}
	if n := record.Cut(c.format, ready, true); n > 0 {
		return c.take(n), nil
	}
	c.inside = true
	return c.take(len(ready)), nil
}

// rest returns the next part of a record that began in a fragment.
func (c *Cutter) rest() ([]byte, error) {
	ready, all, err := c.ready(2 * c.target)
	if err != nil {
		return nil, err
	}
	if n := record.Rest(ready); n > 0 {
		c.inside = false
		return c.take(n), nil
	}
	c.inside = !all
	return c.take(len(ready)), nil
}

// last returns what is left.
func (c *Cutter) last(ready []byte, err error) ([]byte, error) {
	if err == nil && len(ready) == 0 {
		err = io.EOF
	}
	if err != nil {
		return nil, err
	}
	return c.take(len(ready)), nil
}

// ready returns the next n bytes, or fewer if these are all.
func (c *Cutter) ready(n int) (ready []byte, all bool, err error) {
	if err := c.fill(n + 1); err != nil {
		return nil, false, err
	}
	left := c.end - c.start
	return c.buf[c.start : c.start+min(n, left)], left <= n, nil
}

func (c *Cutter) take(n int) []byte {
	c.start += n
	return c.buf[c.start-n : c.start]
}

// More says whether there are bytes left.
func (c *Cutter) More() (bool, error) {
	err := c.fill(1)
	return c.end > c.start, err
}

// fill reads until n bytes are there, n at most one more than twice target, or the stream ends.
func (c *Cutter) fill(n int) error {
	for empty := 0; c.end-c.start < n && !c.eof; {
		if c.end == len(c.buf) {
			c.room()
		}
		read, err := c.source.Read(c.buf[c.end:])
		c.end += read
		switch {
		case errors.Is(err, io.EOF):
			c.eof = true
		case err != nil:
			return err
		case read > 0:
			empty = 0
		default:
			if empty++; empty > 100 {
				return io.ErrNoProgress
			}
		}
	}
	return nil
}

// room makes room behind what is read: a buffer grows with the stream up to four times target, of which the one half is handed
// out while the other fills.
func (c *Cutter) room() {
	buf := c.buf
	if most := 4*c.target + 4; len(buf) < most && c.end-c.start > len(buf)/2 || len(buf) == 0 {
		buf = c.larger(min(max(2*len(buf), smallest), most))
	}
	c.end = copy(buf, c.buf[c.start:c.end])
	c.start, c.buf = 0, buf
}

// larger returns a buffer of n bytes, or a larger one that another cutter has left.
func (c *Cutter) larger(n int) []byte {
	if c.buf != nil {
		return make([]byte, n)
	}
	if left, ok := buffers.Get().(*[]byte); ok && len(*left) <= 4*c.target+4 {
		return *left
	}
	return make([]byte, n)
}
