package validate

import (
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/block/original"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// maxQuarantine is the size at which a quarantine block is written.
const maxQuarantine = 512 << 10

// refuse writes rows of a block to quarantine, and moves them in the sheet from stored to quarantined.
func (s *slice) refuse(ctx context.Context, batch arrow.RecordBatch, index int, bad []int) error {
	if err := s.openQuarantine(ctx); err != nil {
		return err
	}
	ordinals, ok := batch.Column(int(batch.NumCols()) - 1).(*array.Int64)
	if !ok {
		return fmt.Errorf("%w: the last column is not %s", events.ErrInvalid, block.Ordinal)
	}
	if err := s.originals.Seek(index); err != nil {
		return claimed(s.collected, fmt.Errorf("read raw blocks: %w", err))
	}
	out := array.NewRecordBuilder(memory.DefaultAllocator, block.Quarantine)
	defer out.Release()
	size := 0
	for _, row := range bad {
		text, err := s.originals.Record(ordinals.Value(row))
		if err != nil {
			return err
		}
		day := s.day(batch.Column(s.eventTime), row)
		size += s.entry(out, batch, row, ordinals.Value(row), text, day)
		s.fact.Sheet.Add(day, events.Counts{Stored: -1, Quarantined: 1})
		if size >= maxQuarantine {
			if err := s.flush(ctx, out, index); err != nil {
				return err
			}
			size = 0
		}
	}
	return s.flush(ctx, out, index)
}

func (s *slice) openQuarantine(ctx context.Context) (err error) {
	if s.quarantine != nil {
		return nil
	}
	if s.quarantine, err = s.Blocks.Open(ctx, block.QuarantineTopic(s.d.Name), s.fact.Piece); err != nil {
		return fmt.Errorf("write quarantine: %w", err)
	}
	s.originals = original.New(s.d.Collect.Format, s.Blocks.Read(ctx, s.collected.Raw))
	return nil
}

// entry adds a refused row and returns its size.
func (s *slice) entry(out *array.RecordBuilder, batch arrow.RecordBatch, row int, ordinal int64, record []byte, day string) int {
	r := s.rules[s.broken[row]-1]
	detail := r.Detail(batch, row)
	text := func(i int, v string) { out.Field(i).(*array.StringBuilder).Append(v) }
	out.Field(0).(*array.BinaryBuilder).Append(record)
	text(1, r.Kind)
	text(2, r.Name)
	text(3, r.Column)
	text(4, detail)
	if day == events.UnknownDay {
		out.Field(5).AppendNull()
	} else {
		text(5, day)
	}
	out.Field(6).(*array.Int64Builder).Append(ordinal)
	text(7, s.collected.Pin.Files[s.collected.From.File].URI)
	out.Field(8).(*array.Int64Builder).Append(s.originals.Offset)
	text(9, s.d.Version)
	return len(record) + len(detail) + 200
}

func (s *slice) flush(ctx context.Context, out *array.RecordBuilder, index int) error {
	batch := out.NewRecordBatch()
	defer batch.Release()
	if batch.NumRows() == 0 {
		return nil
	}
	value, err := block.Encode(batch)
	if err != nil {
		return err
	}
	if err := s.quarantine.Append(ctx, block.Block{Piece: s.fact.Piece, Index: index, Rows: batch.NumRows(), Value: value}); err != nil {
		return fmt.Errorf("write quarantine: %w", err)
	}
	return nil
}

// day is the event day of a row, as process counted it.
func (s *slice) day(column arrow.Array, row int) string {
	if column.IsNull(row) {
		return events.UnknownDay
	}
	switch column := column.(type) {
	case *array.Date32:
		return window.DayKey(column.Value(row).ToTime())
	case *array.Timestamp:
		return window.DayKey(column.Value(row).ToTime(arrow.Microsecond))
	}
	return events.UnknownDay
}
