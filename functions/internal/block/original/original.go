package validate

import (
	"fmt"
	"iter"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/record"
)

// originals finds the bytes of records in the raw blocks of a slice, going forward only. It counts the records of the blocks it
// passes by, since ordinals number those of the slice.
type originals struct {
	format dataset.Format
	next   func() (block.Block, error, bool)
	stop   func()

	index   int    // of the present block
	offset  int64  // of the present block in its file
	data    []byte // of the present block
	scanner *record.Scanner
	ordinal int64 // of the record that the scanner finds next
	inside  bool  // the present block is a fragment: the next one goes on with its record
}

func newOriginals(format dataset.Format, raw iter.Seq2[block.Block, error]) *originals {
	o := &originals{format: format, index: -1}
	o.next, o.stop = iter.Pull2(raw)
	return o
}

// seek goes to the raw block of an index.
func (o *originals) seek(index int) error {
	for o.index < index {
		o.skip()
		b, err, ok := o.next()
		if !ok {
			return o.mismatch(fmt.Sprintf("there is no raw block %d", index))
		}
		if err != nil {
			return err
		}
		if o.data, err = block.DecodeRaw(o.data, b.Value); err != nil {
			return fmt.Errorf("%w: raw block %d: %w", events.ErrInvalid, b.Index, err)
		}
		o.index, o.offset = b.Index, b.From.Offset
		o.start(b)
	}
	return nil
}

// start goes to the first record that begins in a block. A record in fragments counts where it begins, and cannot be asked for:
// process refuses it.
func (o *originals) start(b block.Block) {
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
func (o *originals) skip() {
	for o.index >= 0 && o.scanner.Next() {
		o.ordinal++
	}
}

// record returns the bytes of the record with an ordinal, which must lie in the present block behind those already asked for.
func (o *originals) record(ordinal int64) ([]byte, error) {
	for o.ordinal <= ordinal && o.scanner.Next() {
		o.ordinal++
		if o.ordinal > ordinal {
			return o.data[o.scanner.Start:o.scanner.End], nil
		}
	}
	return nil, o.mismatch(fmt.Sprintf("raw block %d has no record %d", o.index, ordinal))
}

// mismatch says that the rows were not made from these raw blocks, though the facts say so.
func (o *originals) mismatch(what string) error {
	return fmt.Errorf("%w: %s: rows and raw blocks do not belong together", events.ErrInvalid, what)
}

// finish reads what is left: only at its end is it sure that the raw blocks are those claimed.
func (o *originals) finish() error {
	for {
		_, err, ok := o.next()
		if !ok || err != nil {
			return err
		}
	}
}

func (o *originals) close() { o.stop() }
