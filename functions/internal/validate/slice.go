package validate

import (
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/block/original"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/validate/rule"
)

// slice is the validation of one slice.
type slice struct {
	*Validate

	d         *dataset.Dataset
	collected events.Collected
	processed events.Processed
	schema    *arrow.Schema
	rules     []*rule.Rule
	eventTime int // index of the column
	fact      events.Validated

	rows       block.Appender
	quarantine block.Appender   // nil until there is a bad row
	originals  *original.Finder // nil until there is a bad row
	broken     []int32          // per row of the present block: 1 + index of the first rule that it breaks, 0 if none
}

func (v *Validate) slice(ctx context.Context, d *dataset.Dataset, collected events.Collected, processed events.Processed) (events.Validated, error) {
	s := &slice{Validate: v, d: d, collected: collected, processed: processed, schema: block.Schema(d)}
	s.fact = events.Validated{
		Piece: processed.Piece, Definition: processed.Definition, Inputs: processed.Digest(),
		Sheet: events.Sheet{}, Reasons: map[string]int64{},
	}
	s.fact.Sheet.Merge(processed.Sheet)
	defer s.close()
	var err error
	if s.rules, err = rule.Compile(d, s.schema); err != nil {
		return s.fact, err
	}
	at := s.schema.FieldIndices(d.Collect.EventTime)
	if len(at) != 1 {
		return s.fact, fmt.Errorf("%w: the event time %s is not a column", events.ErrInvalid, d.Collect.EventTime)
	}
	s.eventTime = at[0]
	if err := s.refused(ctx); err != nil {
		return s.fact, err
	}
	return s.fact, s.run(ctx)
}

// refused counts what process has put into quarantine.
func (s *slice) refused(ctx context.Context) error {
	if s.processed.Quarantine.Blocks == 0 {
		return nil
	}
	for b, err := range s.Blocks.Read(ctx, s.processed.Quarantine) {
		if err != nil {
			return claimed(s.processed, fmt.Errorf("read quarantine: %w", err))
		}
		batch, err := block.Decode(b.Value, block.Quarantine)
		if err != nil {
			return fmt.Errorf("%w: read quarantine: %w", events.ErrInvalid, err)
		}
		reasons := batch.Column(1).(*array.String)
		for i := range reasons.Len() {
			s.fact.Reasons[string([]byte(reasons.Value(i)))]++ // the key must not keep the batch
		}
		batch.Release()
	}
	return nil
}

// run passes the rows on. A slice without a bad row is passed on as it is: the fact claims the blocks that process wrote. From the
// first bad row on, clean blocks are written.
func (s *slice) run(ctx context.Context) (err error) {
	passed := 0
	for b, err := range s.Blocks.Read(ctx, s.processed.Rows) {
		if err != nil {
			return claimed(s.processed, fmt.Errorf("read rows: %w", err))
		}
		clean, err := s.block(ctx, b)
		if err != nil {
			return err
		}
		if s.rows == nil && clean.Rows == b.Rows {
			passed++
			continue
		}
		if err := s.write(ctx, clean, passed); err != nil {
			return err
		}
	}
	s.fact.Rows = s.processed.Rows
	if s.rows != nil {
		if s.fact.Rows, err = s.rows.Claim(ctx); err != nil {
			return fmt.Errorf("write clean rows: %w", err)
		}
	}
	var own events.Claim
	if s.quarantine != nil {
		if err := s.originals.Finish(); err != nil {
			return claimed(s.collected, fmt.Errorf("read raw blocks: %w", err))
		}
		if own, err = s.quarantine.Claim(ctx); err != nil {
			return fmt.Errorf("write quarantine: %w", err)
		}
	}
	s.fact.Quarantine = []events.Claim{s.processed.Quarantine, own}
	return nil
}

// write appends a block, and before the first one those that were passed over.
func (s *slice) write(ctx context.Context, b block.Block, passed int) (err error) {
	if s.rows == nil {
		if s.rows, err = s.Blocks.Open(ctx, block.CleanTopic(s.d.Name), s.fact.Piece); err != nil {
			return fmt.Errorf("write clean rows: %w", err)
		}
		for again, err := range s.Blocks.Read(ctx, s.processed.Rows) {
			if passed == 0 {
				break
			}
			if err != nil {
				return claimed(s.processed, fmt.Errorf("read rows: %w", err))
			}
			passed--
			if err := s.rows.Append(ctx, block.Block{Piece: s.fact.Piece, Index: again.Index, Rows: again.Rows, Value: again.Value}); err != nil {
				return fmt.Errorf("write clean rows: %w", err)
			}
		}
	}
	if err := s.rows.Append(ctx, b); err != nil {
		return fmt.Errorf("write clean rows: %w", err)
	}
	return nil
}

// block returns the block without its bad rows, which go to quarantine.
func (s *slice) block(ctx context.Context, b block.Block) (block.Block, error) {
	clean := block.Block{Piece: s.fact.Piece, Index: b.Index, Rows: b.Rows, Value: b.Value}
	if b.Rows == 0 || len(s.rules) == 0 {
		return clean, nil
	}
	batch, err := block.Decode(b.Value, s.schema)
	if err != nil {
		return clean, fmt.Errorf("%w: read rows: block %d: %w", events.ErrInvalid, b.Index, err)
	}
	defer batch.Release()
	bad := s.judge(batch)
	if len(bad) == 0 {
		return clean, nil
	}
	if err := s.refuse(ctx, batch, b.Index, bad); err != nil {
		return clean, err
	}
	good, err := without(batch, bad)
	if err != nil {
		return clean, fmt.Errorf("leave out bad rows: %w", err)
	}
	defer good.Release()
	clean.Rows = good.NumRows()
	clean.Value, err = block.Encode(good)
	return clean, err
}

// judge applies the rules to a batch and lists the rows that break one of severity error. Warnings are counted for the rows that
// are kept.
func (s *slice) judge(batch arrow.RecordBatch) (bad []int) {
	n := int(batch.NumRows())
	if cap(s.broken) < n {
		s.broken = make([]int32, n)
	}
	s.broken = s.broken[:n]
	clear(s.broken)
	found := 0
	for i, r := range s.rules {
		r.Broken(batch, func(row int) {
			if s.broken[row] > 0 {
				return
			}
			s.fact.Reasons[r.Name]++
			if !r.Warning() {
				s.broken[row] = int32(i) + 1
				found++
			}
		})
	}
	if found == 0 {
		return nil
	}
	bad = make([]int, 0, found)
	for row, r := range s.broken {
		if r > 0 {
			bad = append(bad, row)
		}
	}
	return bad
}

func (s *slice) close() {
	if s.rows != nil {
		s.rows.Close()
	}
	if s.quarantine != nil {
		s.quarantine.Close()
	}
	if s.originals != nil {
		s.originals.Close()
	}
}
