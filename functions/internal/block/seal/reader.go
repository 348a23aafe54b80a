package seal

import (
	"errors"
	"fmt"
	"io"
)

// Blocks reads a file that holds the sealed blocks of a slice, one after the other. It holds one block in memory.
type Blocks struct {
	in     io.Reader
	slice  *Slice
	next   int
	last   bool
	sealed []byte
	value  []byte
}

// NewBlocks reads a file of a slice.
func NewBlocks(in io.Reader, slice *Slice) *Blocks { return &Blocks{in: in, slice: slice} }

// Next gives the value of the next block, which is valid until the next call; io.EOF after the last of the slice, if it ends the file.
func (b *Blocks) Next() ([]byte, Mark, error) {
	err := b.fill(0, leastBytes)
	switch {
	case errors.Is(err, io.EOF) && b.last:
		return nil, Mark{}, io.EOF
	case errors.Is(err, io.EOF):
		return nil, Mark{}, fmt.Errorf("the file ends after %d sealed blocks, before the last of its slice: %w", b.next, io.ErrUnexpectedEOF)
	case b.last && (err == nil || errors.Is(err, io.ErrUnexpectedEOF)):
		return nil, Mark{}, errors.New("something stands behind the last sealed block")
	case err != nil:
		return nil, Mark{}, err
	}
	_, length, err := parse(b.sealed)
	if err != nil {
		return nil, Mark{}, err
	}
	if err := b.fill(leastBytes, headBytes+saltBytes+length); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, Mark{}, err
	}
	value, m, err := b.slice.Open(b.value, b.sealed, b.next)
	if err != nil {
		return nil, m, err
	}
	b.next++
	b.value, b.last = value, m.Last
	return value, m, nil
}

// fill reads on until the sealed block has n bytes, of which it has some.
func (b *Blocks) fill(has, n int) error {
	if cap(b.sealed) < n {
		grown := make([]byte, n)
		copy(grown, b.sealed[:has])
		b.sealed = grown
	}
	b.sealed = b.sealed[:n]
	_, err := io.ReadFull(b.in, b.sealed[has:])
	return err
}

// reader gives the values of blocks as one.
type reader struct {
	blocks *Blocks
	value  []byte // what is left of the present block
}

// NewReader reads the values of a file of a slice, one after the other. It gives none that was not verified, and ends with an error unless the
// last block ends the file.
func NewReader(in io.Reader, slice *Slice) io.Reader { return &reader{blocks: NewBlocks(in, slice)} }

func (r *reader) Read(p []byte) (int, error) {
	for len(r.value) == 0 {
		var err error
		if r.value, _, err = r.blocks.Next(); err != nil {
			r.value = nil
			return 0, err
		}
	}
	n := copy(p, r.value)
	r.value = r.value[n:]
	return n, nil
}
