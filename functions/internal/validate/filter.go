package validate

import (
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/almanac-data/almanac/functions/internal/block"
)

// without returns the batch without the given rows, which are sorted: the runs of rows between them, joined.
func without(batch arrow.RecordBatch, bad []int) (arrow.RecordBatch, error) {
	rows := int(batch.NumRows())
	if len(bad) == rows {
		return block.Empty(batch.Schema()), nil
	}
	ends := append(slices.Clip(bad), rows)
	columns := make([]arrow.Array, 0, batch.NumCols())
	defer func() {
		for _, c := range columns {
			c.Release()
		}
	}()
	for _, column := range batch.Columns() {
		joined, err := join(column, ends)
		if err != nil {
			return nil, err
		}
		columns = append(columns, joined)
	}
	return array.NewRecordBatch(batch.Schema(), columns, int64(rows-len(bad))), nil
}

// join copies the runs of a column that end at the given rows, each without that row.
func join(column arrow.Array, ends []int) (arrow.Array, error) {
	runs := make([]arrow.Array, 0, len(ends))
	defer func() {
		for _, run := range runs {
			run.Release()
		}
	}()
	from := 0
	for _, row := range ends {
		if row > from {
			runs = append(runs, array.NewSlice(column, int64(from), int64(row)))
		}
		from = row + 1
	}
	return array.Concatenate(runs, memory.DefaultAllocator)
}
