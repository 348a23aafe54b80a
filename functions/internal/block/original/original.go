// Package original finds the bytes of records in the raw blocks of a slice, by their ordinals.
package original

import (
	"fmt"
	"iter"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/block/seal"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/record"
)

// Finder goes forward only. It counts the records of the blocks it passes by, since ordinals number those of the slice. What sealed
// blocks hold it does not know: block.Withheld stands for it.
type Finder struct {
	Offset int64 // of the present block in its file

	format dataset.Format
	next   func() (block.Block, error, bool)
	stop   func()

	index   int    // of the present block
	data    []byte // of the present block
	scanner *record.Scanner
	ordinal int64 // of the record that the scanner finds next
	sealed  bool  // the present block is sealed: what it holds stays withheld
	inside  bool  // the present block is a fragment: the next one goes on with its record
}

// New finds records in the raw blocks of a slice. Close ends it.
func New(format dataset.Format, raw iter.Seq2[block.Block, error]) *Finder {
	o := &Finder{format: format, index: -1}
	o.next, o.stop = iter.Pull2(raw)
	return o
}

// Seek goes to the raw block of an index.
func (o *Finder) Seek(index int) error {
	for o.index < index {
		o.skip()
		b, err, ok := o.next()
		if !ok {
			return o.mismatch(fmt.Sprintf("there is no raw block %d", index))
		}
		if err != nil {
			return err
		}
		if o.sealed = seal.Is(b.Value); o.sealed {
			o.index, o.Offset = b.Index, b.From.Offset
			continue
		}
		if o.data, err = block.DecodeRaw(o.data, b.Value); err != nil {
			return fmt.Errorf("%w: raw block %d: %w", events.ErrInvalid, b.Index, err)
		}
		o.index, o.Offset = b.Index, b.From.Offset
		o.start(b)
	}
	return nil
}

// start goes to the first record that begins in a block. A record in fragments counts where it begins, and cannot be asked for:
// process refuses it.
func (o *Finder) start(b block.Block) {
	o.scanner = record.Scan(o.format, o.data, b.From.Offset == 0)
	switch {
	case b.Fragment:
		if !o.inside {
			o.ordinal++
		}
		o.scanner.Skip(len(o.data))
	case o.inside:
		n := record.Rest(o.data)
		if n == 0 {
			n = len(o.data)
		}
		o.scanner.Skip(n)
	}
	o.inside = b.Fragment
}

// skip counts the records that are left in the present block.
func (o *Finder) skip() {
	for o.scanner != nil && o.scanner.Next() {
		o.ordinal++
	}
}

// Record returns the bytes of the record with an ordinal, which must lie in the present block behind those already asked for.
func (o *Finder) Record(ordinal int64) ([]byte, error) {
	if o.sealed {
		return []byte(block.Withheld), nil
	}
	for o.ordinal <= ordinal && o.scanner.Next() {
		o.ordinal++
		if o.ordinal > ordinal {
			return o.data[o.scanner.Start:o.scanner.End], nil
		}
	}
	return nil, o.mismatch(fmt.Sprintf("raw block %d has no record %d", o.index, ordinal))
}

// Find goes on to the record with an ordinal, in whatever block it begins. Of a record in fragments it gives the first.
func (o *Finder) Find(ordinal int64) ([]byte, error) {
	for o.ordinal <= ordinal {
		for o.scanner != nil && o.ordinal <= ordinal && o.scanner.Next() {
			if o.ordinal++; o.ordinal > ordinal {
				return o.data[o.scanner.Start:o.scanner.End], nil
			}
		}
		begins := o.ordinal
		if err := o.Seek(o.index + 1); err != nil {
			return nil, err
		}
		if o.ordinal == begins+1 && begins == ordinal {
			return o.data, nil
		}
	}
	return nil, o.mismatch(fmt.Sprintf("record %d lies before those already asked for", ordinal))
}

// mismatch says that the rows were not made from these raw blocks, though the facts say so.
func (o *Finder) mismatch(what string) error {
	return fmt.Errorf("%w: %s: rows and raw blocks do not belong together", events.ErrInvalid, what)
}

// Finish reads what is left: only at its end is it sure that the raw blocks are those claimed.
func (o *Finder) Finish() error {
	for {
		_, err, ok := o.next()
		if !ok || err != nil {
			return err
		}
	}
}

// Close lets go of the blocks.
func (o *Finder) Close() { o.stop() }
